"""The whole product as real processes of its own, which may be killed, stopped and started again.

PostgreSQL is durable here: what was acknowledged must outlive its death.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import psycopg

from config import paths, ports
from config.children import Child, Children
from config.embedded import Postgres, Valkey
from tests import template
from tests.faults.http import Answer, call, post_form, post_json, post_signed

SECRET = "whsec_faults"
APP_KEY = "sk_demo_space_journal"  # the shopkeeper gives it to the app
CARD = {"expiry": "12/34", "cvc": "123", "name": "A", "email": "a@b.example"}
START_SECONDS = 180
LOCKED_CUSTOMERS = """select count(*) from pg_locks join billing_stripecustomer on
    (classid::bigint << 32 | objid::bigint) = hashtextextended('stripe:' || stripe_customer_id, 0)
    where locktype = 'advisory' and granted and objsubid = 1"""
OPEN_TRANSACTIONS = """select count(*) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'"""
CELERY = (sys.executable, "-m", "celery", "-A", "config", "--quiet")


class Stack:
    """One running Latchkey under `base`; `web_processes` as production serves it, or one."""

    shopkeeper_module = "tests.faults.shopkeeper"

    def __init__(self, base: Path, *, web_processes: int = 1, debug: bool = True) -> None:
        self.lines: deque[str] = deque(maxlen=300)
        self.children = Children(show=self.lines.append)
        self.children.remove_at_death(base)
        self.base = base
        paths.open_to_nobody(base)
        self.postgres, self.valkey = Postgres(base), Valkey(base)
        self.port = ports.first_free(21000 + os.getpid() % 10000)
        self.sandbox_port = ports.first_free(self.port + 1)
        self.next_port = self.sandbox_port + 1
        self.web_processes = web_processes
        self.environment = self._environment(debug)
        self._named: dict[str, Child] = {}
        self._one_at_a_time = Lock()  # whoever asks the shopkeeper reads their own answer

    def _environment(self, debug: bool) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DEBUG": str(debug).lower(),
            "ALLOW_SANDBOX": "true",
            "TRUSTED_PROXY_COUNT": "0" if debug else "1",
            "SECRET_KEY": "faults-only-secret-key-that-is-long-enough-for-the-checks",
            "KEY_PEPPER": "faults-only-pepper-that-is-at-least-thirty-two-bytes",
            "DATABASE_URL": self.postgres.url(),
            "REDIS_URL": f"unix://{self.valkey.socket}",
            "STRIPE_SECRET_KEY": "",
            "STRIPE_API_BASE": self.stripe,
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "PUBLIC_URL": self.web,
            "PUBLIC_CHECKOUT_PROJECT": "space_journal",
            "HOOKS_ALLOW_PRIVATE_ADDRESSES": "true",  # receivers are on 127.0.0.1
            "WEB_PROCESSES": str(self.web_processes),
            "LOG_FORMAT": "text",
            "LOG_LEVEL": "WARNING",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
        }

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stripe(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    # --- Life and death ---

    def start(self) -> None:
        self.start_valkey()
        is_migrated = template.copy_cluster(template.key(), self.postgres)
        self.start_postgres()
        self._start_sandbox()
        if not is_migrated:
            os.environ.update(self.environment)
            template.fill(self.postgres.url())
        self._start_shopkeeper()
        self.ask_shopkeeper(do="furnish")
        self.start_web("web", self.port, processes=self.web_processes)
        self.start_worker()
        self._spawn("beat", [*CELERY, "beat", "--pidfile="])
        self.wait_for("web", lambda: call("GET", f"{self.web}/ready").status == 200)
        self.wait_for("worker", self._worker_answers)

    def stop(self) -> None:
        """At once: nothing here is worth an orderly end."""
        for child in self._named.values():
            self._signal(child, signal.SIGKILL)
        if hasattr(self, "shopkeeper"):
            self.shopkeeper.communicate()
        self.children.stop()

    def start_postgres(self) -> None:
        command = self.postgres.command()
        self._spawn("postgres", command, **self.postgres.popen)
        self.wait_for("postgres", self.postgres.is_ready)

    def start_valkey(self) -> None:
        self._spawn("valkey", self.valkey.command())
        self.wait_for("valkey", self.valkey.is_ready)

    def _start_sandbox(self) -> None:
        command = [
            *(sys.executable, "-m", "sandbox", "--port", str(self.sandbox_port)),
            *("--webhook-url", f"{self.web}/webhooks/stripe", "--webhook-secret", SECRET),
        ]
        self._spawn("sandbox", command, cwd=paths.ROOT)
        self.wait_for("sandbox", lambda: call("POST", f"{self.stripe}/_sandbox/clock").status > 0)

    def start_web(self, name: str, port: int, *, processes: int = 1, **changes: str) -> str:
        """A web process as production serves it; `changes` are variables of its environment."""
        command = [
            *(sys.executable, "-m", "granian", "config.wsgi:application", "--interface=wsgi"),
            *("--host=127.0.0.1", f"--port={port}", f"--workers={processes}"),
            *("--blocking-threads=4", "--no-ws", "--log-level=warning"),
        ]
        self._spawn(name, command, cwd=paths.ROOT, changes=changes)
        return f"http://127.0.0.1:{port}"

    def start_another_web(self, name: str, **changes: str) -> str:
        port = self.next_port = ports.first_free(self.next_port)
        self.next_port += 1
        address = self.start_web(name, port, **changes)
        self.wait_for(name, lambda: call("GET", f"{address}/live").status == 200)
        return address

    def start_worker(self, defect: str = "") -> None:
        """`defect`: a mistake that is planted in the worker, one of `tests.faults.defects`."""
        celery = [*CELERY]
        if defect:
            celery[2:3] = ["tests.faults.defects", defect]
        command = [*celery, "worker", "--concurrency=2", "--without-gossip", "--without-mingle"]
        self._spawn("worker", command)

    def _worker_answers(self) -> bool:
        """The heart-beat went through the broker and a worker of this start."""
        state = call("GET", f"{self.web}/ready").json["checks"].get("worker", {})
        return bool(state.get("ok"))

    def _spawn(
        self,
        name: str,
        command: Sequence[str],
        *,
        changes: dict[str, str] | None = None,
        **popen: Any,
    ) -> None:
        popen.setdefault("cwd", paths.ROOT)
        environment = {**self.environment, **(changes or {})}
        self._named[name] = self.children.spawn(name, command, environment=environment, **popen)

    def kill(self, name: str) -> None:
        """kill -9 of the process and of everything that it started, and wait for their end."""
        child = self._named[name]
        tree = [child.process.pid, *descendants(child.process.pid)]
        for pid in tree:
            kill(pid)
        self._reap(child)
        self.wait_for(f"the end of {name}", lambda: not any(map(is_alive, tree)))

    def kill_pool(self) -> None:
        """kill -9 of the worker's processes that do the work; their parent lives."""
        for pid in descendants(self._named["worker"].process.pid):
            kill(pid)

    def halt(self, name: str) -> None:
        """It accepts connections and answers nothing, until `resume`."""
        self._signal(self._named[name], signal.SIGSTOP)

    def halt_at_rest(self, name: str) -> None:
        """The same, but between two transactions: an open one would stay so until `resume`."""
        self.halt(name)
        while self.one(OPEN_TRANSACTIONS):
            self.resume(name)
            time.sleep(0.02)
            self.halt(name)

    def resume(self, name: str) -> None:
        self._signal(self._named[name], signal.SIGCONT)

    def _signal(self, child: Child, number: signal.Signals) -> None:
        for pid in [child.process.pid, *descendants(child.process.pid)]:
            kill(pid, number)

    def end(self, name: str) -> None:
        """Stop a process in order."""
        child = self._named[name]
        self._reap(child)

    def _reap(self, child: Child) -> None:
        # The children's own way to stop knows only the last one.
        self.children.running.remove(child)
        self.children.running.append(child)
        self.children.stop_last()
        self._named.pop(child.name)

    def wait_for(
        self, what: str, is_so: Callable[[], bool], seconds: float = START_SECONDS
    ) -> None:
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                told = "\n".join(self.lines)
                raise AssertionError(f"{what}: not within {seconds:.0f} s\n{told}")
            time.sleep(0.02)

    # --- What people and Stripe do ---

    def _start_shopkeeper(self) -> None:
        self.shopkeeper = subprocess.Popen(
            [sys.executable, "-m", self.shopkeeper_module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            cwd=paths.ROOT,
            text=True,
        )

    def ask_shopkeeper(self, **asked: Any) -> dict[str, Any]:
        assert self.shopkeeper.stdin is not None
        assert self.shopkeeper.stdout is not None
        with self._one_at_a_time:
            self.shopkeeper.stdin.write(json.dumps(asked) + "\n")
            self.shopkeeper.stdin.flush()
            done = json.loads(self.shopkeeper.stdout.readline())
        if "error" in done:
            raise AssertionError(f"{asked}: {done['error']}")
        return dict(done)

    def control(self, action: str, **given: Any) -> Any:
        return post_json(f"{self.stripe}/_sandbox/{action}", given).json

    def fault(self, match: str, kind: str, **more: Any) -> None:
        self.control("faults", match=match, kind=kind, **more)

    def ask(self, path: str, *, web: str = "", key: str = APP_KEY) -> Answer:
        return call("GET", (web or self.web) + path, X_API_Key=key)

    def begin(
        self, user: str, *, price: str = "price_123", web: str = "", **headers: str
    ) -> Answer:
        wish = {"user_id": user, "price_id": price, "mode": "subscription"}
        urls = {"success_url": "https://app.local/s", "cancel_url": "https://app.local/c"}
        address = f"{web or self.web}/api/v1/checkout/session"
        return post_json(address, {**wish, **urls}, X_API_Key=APP_KEY, **headers)

    def buy(self, user: str, *, price: str = "price_123") -> str:
        """Begin a checkout and pay it; returns its id."""
        begun = self.begin(user, price=price)
        assert begun.status == 200, begun
        paid = post_form(begun.json["url"], {"number": "4242424242424242", **CARD})
        assert paid.status == 303, paid.text
        return str(begun.json["id"])

    def claim(self, checkout: str) -> str:
        """The plaintext of the key that came with it, once."""
        answer = self.ask(f"/api/v1/checkout/session/{checkout}?claim=1")
        return str(answer.json["key"]["key"])

    def features(self, user: str, *, web: str = "") -> set[str]:
        answer = self.ask(f"/api/v1/entitlements?user_id={user}", web=web)
        assert answer.status == 200, answer
        return {each["feature_code"] for each in answer.json["entitlements"] if each["active"]}

    def hear(self, event_id: str, *, web: str = "") -> Answer:
        """An event of Stripe's arrives."""
        event = {
            "id": event_id,
            "object": "event",
            "type": "plan.updated",
            "livemode": False,
            "created": int(time.time()),
            "data": {"object": {"id": "plan_1", "object": "plan"}},
        }
        return post_signed(f"{web or self.web}/webhooks/stripe", event, SECRET)

    # --- What the tables say ---

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.postgres.connect(paths.DATABASE) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        return self.rows(query, *values)[0][0]

    def execute(self, query: str) -> None:
        with self.postgres.connect(paths.DATABASE) as connection:
            connection.execute(query.encode())

    def is_syncing(self) -> bool:
        """Whether somebody holds a customer's lock: other jobs have locks of their own."""
        try:
            return bool(self.one(LOCKED_CUSTOMERS))
        except psycopg.OperationalError:
            return False


def descendants(pid: int) -> list[int]:
    """Children and theirs, by Linux's /proc; their sessions and groups do not matter."""
    direct: list[int] = []
    # Threads and processes may end while we look.
    with suppress(OSError):
        for task in list(Path(f"/proc/{pid}/task").glob("*/children")):
            with suppress(OSError):
                direct += [int(word) for word in task.read_text().split()]
    return [each for child in direct for each in (child, *descendants(child))]


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
