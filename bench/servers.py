"""The servers of a run: PostgreSQL and Valkey of its own, and every program that is measured."""

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from config import paths, ports
from config.children import Child, Children
from config.embedded import Postgres, Valkey
from tests import template
from tests.faults.stack import descendants

SECRET = "whsec_bench"
PACKAGES = paths.ROOT / ".venv" / "bench"  # what the baselines need: `make bench` installs it
START_SECONDS = 90
TICKS = os.sysconf("SC_CLK_TCK")
# As the Dockerfile serves it, but for the number of processes: one core each is compared.
THREADS = 4
GRANIAN = (
    *("-m", "granian", "--interface=wsgi", "--host=127.0.0.1", "--workers=1"),
    *(f"--blocking-threads={THREADS}", "--no-ws", "--log-level=warning"),
)


@dataclass(frozen=True)
class Program:
    """One server that is measured: its process, and where it listens."""

    name: str
    port: int
    child: Child

    @property
    def pids(self) -> list[int]:
        return [self.child.process.pid, *descendants(self.child.process.pid)]

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.child.process.pid)

    def megabytes(self) -> tuple[float, float]:
        """Resident memory of its biggest process, and the share that is its own (PSS)."""
        return max(_memory(pid) for pid in self.pids)


class Servers:
    """Everything that runs; `base` holds the data and may be kept for another run."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.lines: deque[str] = deque(maxlen=200)
        self.children = Children(show=self.lines.append)
        paths.open_to_nobody(base)
        self.postgres, self.valkey = Postgres(base), Valkey(base)
        self._port = 23000 + os.getpid() % 5000
        self._known: dict[str, Child] = {}
        self.schema = template.key()
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(PACKAGES), str(paths.ROOT)]),
            "PYTHONWARNINGS": "ignore",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DEBUG": "false",
            "ALLOW_SANDBOX": "true",
            "TRUSTED_PROXY_COUNT": "1",
            "SECRET_KEY": "bench-only-secret-key-that-is-long-enough-for-the-checks",
            "KEY_PEPPER": "bench-only-pepper-that-is-at-least-thirty-two-bytes",
            "DATABASE_URL": self.postgres.url(),
            "REDIS_URL": f"unix://{self.valkey.socket}",
            "STRIPE_API_BASE": "http://127.0.0.1:9",
            "STRIPE_SECRET_KEY": "",
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "PUBLIC_URL": "http://127.0.0.1",
            "LOG_FORMAT": "text",
            "LOG_LEVEL": "WARNING",
        }

    def start(self) -> None:
        """PostgreSQL, durable and migrated, and Valkey."""
        schema, made = self.schema, self.base / "schema"
        if not self.postgres.data.exists() and template.copy_cluster(schema, self.postgres):
            made.write_text(schema)
        command = [*self.postgres.command(), *TUNED]
        self._spawn("postgres", command, **self.postgres.popen)
        self.children.wait_until("postgres", self.postgres.is_ready, seconds=START_SECONDS)
        self._spawn("valkey", self.valkey.command(), cwd=paths.ROOT)
        self.children.wait_until("valkey", self.valkey.is_ready, seconds=START_SECONDS)
        if not made.exists() or made.read_text() != schema:
            self.migrate(paths.DATABASE)
            made.write_text(schema)

    def migrate(self, database: str) -> None:
        """Data that was kept, or made without a template, may lack the latest migrations."""
        migrate = [sys.executable, "manage.py", "migrate", "-v0", "--skip-checks"]
        told = {**self.environment, "DATABASE_URL": self.url(database)}
        subprocess.run(migrate, env=told, cwd=paths.ROOT, check=True)

    def serve_wsgi(self, name: str, target: str, **changes: str) -> Program:
        """A WSGI callable behind granian, as production serves ours."""
        port = self._free_port()
        return self._serve(name, port, [*GRANIAN, f"--port={port}", target], changes)

    def serve_asgi(self, name: str, target: str, **changes: str) -> Program:
        """An ASGI application behind uvicorn with uvloop, as FastAPI's own guide serves it."""
        port = self._free_port()
        command = ["-m", "uvicorn", target, f"--port={port}", "--no-access-log"]
        return self._serve(name, port, [*command, "--log-level=warning"], changes)

    def serve_sandbox(self) -> Program:
        """Something in Stripe's place."""
        port = self._free_port()
        return self._serve("sandbox", port, ["-m", "sandbox", "--port", str(port)], {})

    def _serve(
        self, name: str, port: int, arguments: list[str], changes: dict[str, str]
    ) -> Program:
        child = self._spawn(name, [sys.executable, *arguments], changes=changes, cwd=paths.ROOT)
        self.children.wait_until(name, lambda: _listens(port), seconds=START_SECONDS)
        return Program(name, port, child)

    def end(self, program: Program) -> None:
        """Stop one program, at once: it has nothing to keep."""
        running = self.children.running
        running.remove(program.child)
        running.append(program.child)
        for pid in program.pids:
            _kill(pid)
        self.children.stop_last()

    def database_cpu_seconds(self) -> float:
        return cpu_seconds(self._known["postgres"].process.pid)

    def redis_cpu_seconds(self) -> float:
        return cpu_seconds(self._known["valkey"].process.pid)

    def url(self, database: str) -> str:
        return f"postgres://postgres@/{self.postgres.sockets}/{database}"

    def connect(self, database: str) -> psycopg.Connection:
        return self.postgres.connect(database)

    def forget_counters(self) -> None:
        """Empty Valkey: what was cached and counted at another size."""
        redis.Redis(unix_socket_path=str(self.valkey.socket)).flushall()

    def stop(self) -> None:
        """At once, but for PostgreSQL: its data may be kept."""
        for child in reversed(self.children.running):
            if child.name != "postgres":
                for pid in [child.process.pid, *descendants(child.process.pid)]:
                    _kill(pid)
        with suppress(psycopg.OperationalError), self.postgres.connect() as connection:
            connection.execute("CHECKPOINT")  # so that it stops within the children's patience
        self.children.stop()

    def _free_port(self) -> int:
        self._port = ports.first_free(self._port) + 1
        return self._port - 1

    def _spawn(
        self,
        name: str,
        command: list[str],
        *,
        changes: dict[str, str] | None = None,
        **popen: Any,
    ) -> Child:
        environment = {**self.environment, **(changes or {})}
        child = self.children.spawn(name, command, environment=environment, **popen)
        self._known[name] = child
        return child


# Durable all the same; so that filling ten million rows does not stop for checkpoints.
TUNED = ("-c", "shared_buffers=1GB", "-c", "max_wal_size=8GB", "-c", "checkpoint_timeout=30min")


def cpu_seconds(root: int) -> float:
    """CPU of a process and all that it started, those that ended included."""
    return sum(_cpu_ticks(pid) for pid in [root, *descendants(root)]) / TICKS


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])


def _memory(pid: int) -> tuple[float, float]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0.0, 0.0
    found = {name: int(rest.split()[0]) for name, _, rest in (one.partition(":") for one in lines)}
    return found["Rss"] / 1000, found["Pss"] / 1000


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
