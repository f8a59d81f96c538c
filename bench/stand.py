"""Servers of its own for a measurement: PostgreSQL that is durable, Valkey, and granian."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from config import paths, ports
from tests import template
from tests.faults.http import call
from tests.faults.stack import SECRET, Stack, descendants

THREADS = 4


class Stand(Stack):
    """Without worker and sandbox: what is measured is the answer."""

    def open(self, consumers: int) -> dict[str, Any]:
        """Start the databases and fill them; what `bench.furnish` made."""
        self.start_valkey()
        is_migrated = template.copy_cluster(template.key(), self.postgres)
        self.start_postgres()
        if not is_migrated:
            subprocess.run(self._python("manage.py", "migrate", "-v0"), check=True, **self._own())
        command = self._python("-m", "bench.furnish", str(consumers))
        made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **self._own())
        return dict(json.loads(made.stdout))

    def serve(self, name: str, application: str, workers: int = 1, **changes: str) -> "Served":
        """A granian of its own for one WSGI callable."""
        port = self.next_port = ports.first_free(self.next_port)
        self.next_port += 1
        command = self._python(
            *("-m", "granian", application, "--interface=wsgi", "--host=127.0.0.1"),
            *(f"--port={port}", f"--workers={workers}", f"--blocking-threads={THREADS}"),
            *("--no-ws", "--log-level=warning"),
        )
        self._spawn(name, command, cwd=paths.ROOT, changes=changes)
        self.wait_for(name, lambda: call("GET", f"http://127.0.0.1:{port}/live").status == 200)
        return Served(port, self._named[name].process.pid)

    def _python(self, *arguments: str) -> list[str]:
        return [sys.executable, *arguments]

    def _own(self) -> dict[str, Any]:
        return {"cwd": paths.ROOT, "env": self.environment}


class Served:
    """One granian."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self._pid = pid

    @property
    def pids(self) -> list[int]:
        """The processes that do the work; the first only watches them."""
        return descendants(self._pid)


def new_stand(base: Path) -> Stand:
    return Stand(base, debug=False)


def get(path: str, **headers: str) -> bytes:
    return _request("GET", path, b"", headers)


def post(path: str, body: bytes, **headers: str) -> bytes:
    given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    return _request("POST", path, body, given)


def _request(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    # As the proxy in front says, so that nobody is sent to https.
    named = {"Host": "127.0.0.1", "X-Forwarded-Proto": "https", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


__all__ = ["SECRET", "Served", "Stand", "get", "new_stand", "post"]
