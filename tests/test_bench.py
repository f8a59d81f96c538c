"""`make bench` measures each path: here with the smallest sizes, so that it does not rot.

The servers are threads of this process. What the figures say here is nothing.
"""

import importlib
import os
import sys
from dataclasses import dataclass
from threading import Thread

import psycopg
import pytest
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.db import connection

from bench import report, targets
from bench.__main__ import PATHS, parse, walk
from bench.field import TINY, Field
from bench.record import Finding, Record
from bench.servers import SECRET
from config import paths
from config.frontdoor import front_door

SERVED = {
    "bare granian": {"per_s": 1000.0, "cpu_us": 50.0, "all_us": 50.0},
    "seeds' design": {"per_s": 10.0, "cpu_us": 5000.0, "all_us": 6000.0},
}
REST = dict.fromkeys(("pg_us", "redis_us", "p50_ms", "p99_ms", "rss_mb", "pss_mb"), 1.0)


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *given):
        pass


class Here:
    """Serves in threads, on the test's database; nobody counts the CPU."""

    def __init__(self, base, settings):
        self.base = base
        self._settings = settings
        self._running = []

    def serve_wsgi(self, name, target, **changes):
        for setting in ("PUSH_CACHE", "FRONT_DOOR"):
            setattr(self._settings, setting, changes.get(setting) != "false")
        os.environ["BENCH_BODIES"] = changes.get("BENCH_BODIES", os.environ["BENCH_BODIES"])
        application = self._application(target)
        server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
        server.set_app(application)
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self._running.append((server, thread, application))
        return Served(name, server.server_port)

    def _application(self, target):
        if target.startswith("config."):
            return front_door(get_wsgi_application())
        module, _, name = target.partition(":")
        return getattr(importlib.import_module(module), name)

    def end(self, program):
        pass

    def stop(self):
        for server, thread, application in self._running:
            server.shutdown()
            server.server_close()
            thread.join()
            if getattr(application, "cache", None):
                application.cache.close()

    def url(self, database):
        return ""

    def connect(self, database):
        known = connection.get_connection_params()
        names = ("host", "port", "user", "password", "dbname")
        given = {name: known[name] for name in names if name in known}
        return psycopg.connect(**given, autocommit=True)

    def forget_counters(self):
        pass

    def database_cpu_seconds(self):
        return 0.0

    redis_cpu_seconds = database_cpu_seconds


@dataclass
class Served:
    name: str
    port: int

    def cpu_seconds(self):
        return 0.0

    def megabytes(self):
        return 1.0, 1.0


class TestsDatabase:
    def copy(self, kind, size, make, *, of=""):
        make(connection.settings_dict["NAME"])
        return connection.settings_dict["NAME"]


@pytest.fixture
def field(transactional_db, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_BODIES", "")
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    servers = Here(tmp_path, settings)
    servers.lines = []
    yield Field(servers, TINY, baselines=False, databases=TestsDatabase())
    servers.stop()
    connection.close()  # it was told to wait for ever


def test_each_path_is_measured_and_answered_right(field, tmp_path, capsys):
    """Ours and the bare server; a wrong answer ends the path, and `walk` says which."""
    record = Record.begin(tmp_path / "bench.json")
    chosen = sorted(PATHS.keys() - {"reconcile"})

    failed = walk(chosen, field, record)

    assert failed == [], capsys.readouterr().err
    assert [one.path for one in record.findings] == chosen


def test_the_bench_names_the_paths_that_it_knows(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "nothing"])

    with pytest.raises(SystemExit):
        parse()

    assert "no such path: nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cpu", "said"), [(60.0, "met by CPU"), (20.0, "met"), (125.0, "**missed**, 50% of it")]
)
def test_target_is_judged_by_cpu_and_speed(tmp_path, cpu, said):
    speed = 900.0 if said == "met" else 400.0
    record = record_of(tmp_path, {"per_s": speed, "cpu_us": cpu, "all_us": cpu})

    cells = next(row for row in targets.rows(record) if row[2:4] == ("bare granian", "0.8"))

    assert cells[-1] == said


def test_tables_of_a_run_are_written_between_the_markers(tmp_path, monkeypatch):
    record = record_of(tmp_path, {"per_s": 900.0, "cpu_us": 60.0, "all_us": 60.0})
    record.keep()
    page = paths.ROOT / "docs/performance.md"
    copy = tmp_path / "page.md"
    copy.write_text(page.read_text())
    monkeypatch.setattr(report, "PAGE", copy)
    monkeypatch.setattr(sys, "argv", ["report", str(record.file)])

    report.main()

    before, _, rest = page.read_text().partition(report.BEGIN)
    told = copy.read_text()
    assert told.startswith(before)
    assert told.endswith(rest.partition(report.END)[2])
    assert "| push cache | 900 | 0.90 | 60 | 0.83 | 90 | 83 |" in told


def record_of(folder, ours):
    figures = {name: {**one, **REST} for name, one in {**SERVED, "push cache": ours}.items()}
    sizes = {"size": "tiny", "seconds": 1, "rounds": 1, "connections": 4}
    record = Record.begin(folder / "bench.json", **sizes)
    record.findings.append(Finding("entitlements", "50 consumers", "Entitlements", figures))
    return record
