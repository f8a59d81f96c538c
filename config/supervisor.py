"""`make run`: the whole product in one terminal; Ctrl-C stops all of it."""

import argparse
import hashlib
import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

import environ
import psycopg

from config import dev_environment, paths, ports, stack_record
from config.children import Child, Children, StackFailed
from config.dev_environment import DevEnvironment
from config.embedded import MissingBinary, Postgres, Valkey

DEFAULT_PORT = 8000
SANDBOX_OFFSET = 4111  # 8000 -> 12111, the address that settings assume
PYTHON = sys.executable
# What looks like trouble or pushes the walk off the screen, and is neither.
HARMLESS = (
    "Memory overcommit must be enabled",
    "the database system is starting up",
    "POST /webhooks/stripe 200",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the stack until it is told to stop; the exit code for the shell."""
    parser = argparse.ArgumentParser(prog="manage.py dev", description=__doc__)
    parser.add_argument("--port", type=int, help="the web port (PORT, or 8000)")
    parser.add_argument("--down", action="store_true", help="stop the running stack")
    parser.add_argument("--reset", action="store_true", help="delete all that the stack keeps")
    parser.add_argument("--force", action="store_true", help="delete without asking")
    options = parser.parse_args(arguments)
    try:
        if options.down:
            return down()
        if options.reset:
            return reset(ask=not options.force)
        return up(options.port or port_given())
    except (StackFailed, MissingBinary, TimeoutError) as failure:
        print(failure, file=sys.stderr)
        return 1


def port_given() -> int:
    """PORT from the shell or `.env`; StackFailed if it is no port."""
    given = dev_environment.read_given().get("PORT", str(DEFAULT_PORT))
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise StackFailed(f"PORT is {given!r}: set it to a number from 1 to 65535, such as 8000.")
    return int(given)


def down() -> int:
    stopped = stack_record.stop_running()
    print("Stopped." if stopped else "No stack runs in this checkout.")
    return 0


def reset(*, ask: bool) -> int:
    """Delete the embedded database, secrets and caches of this checkout; never one elsewhere."""
    question = f"Delete the embedded database and secrets in {paths.place()}? [y/N] "
    if ask and input(question).strip().lower() not in ("y", "yes"):
        print("Nothing deleted.")
        return 1
    stack_record.stop_running()
    for directory in {paths.place(), paths.STATE}:
        shutil.rmtree(directory, ignore_errors=True)
    print("Deleted. `make run` starts afresh.")
    return 0


def up(port: int) -> int:
    """Start everything, report, and wait for a signal; whatever happens, stop everything."""
    paths.prepare_place()
    held = stack_record.lock()
    if held is None:
        raise StackFailed(_already_running())
    with held:
        sweep_leftovers()
        environment = dev_environment.build(port, check_ports(port))
        screen = Screen()
        children = Children(show=screen.show, on_change=keep_record(port))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: children.stopping.set())
        try:
            start(children, environment, port)
            screen.is_ready = True
            while not children.stopping.wait(0.3):
                children.check()
        finally:
            say("Stopping ...")
            children.stop()
            stack_record.forget()
    say("All stopped.")
    return 0


def keep_record(port: int) -> Callable[[list[Child]], None]:
    """Write down who we are, and again at every change which children there are."""
    pid = os.getpid()
    record = stack_record.StackRecord(pid, stack_record.started_at(pid), port)
    record.save()

    def save(running: list[Child]) -> None:
        pids = {child.name: child.process.pid for child in running}
        record.children = {name: (pid, stack_record.started_at(pid)) for name, pid in pids.items()}
        record.save()

    return save


@dataclass
class Screen:
    """Shows what the children print; harmless lines only once the stack is ready."""

    is_ready: bool = False

    def show(self, line: str) -> None:
        if self.is_ready or not any(part in line for part in HARMLESS):
            say(line)


def say(line: str) -> None:
    print(line, flush=True)


def sweep_leftovers() -> None:
    """Stop what a supervisor that was killed left running (only where no watchdog could)."""
    earlier = stack_record.load()
    if earlier and (names := stack_record.sweep(earlier)):
        say(f"Stopped what an earlier run left: {', '.join(names)}.")


def check_ports(port: int) -> int:
    """The sandbox's port; StackFailed names who has the web port and what to do."""
    if not ports.is_free(port):
        raise StackFailed(
            f"Port {port} is in use by {ports.owner(port)}: "
            f"stop it or run `make run PORT={ports.first_free(port + 1)}`."
        )
    return ports.first_free(port + SANDBOX_OFFSET)


def start(children: Children, environment: DevEnvironment, port: int) -> None:
    """Bring up every part in order and print where it is; stops early when told to."""
    began = time.monotonic()

    walk: list[str] = []

    def manage(*arguments: str, show: Callable[[str], None] | None = None) -> None:
        command = [PYTHON, str(paths.ROOT / "manage.py"), *arguments]
        children.run(arguments[0], command, environment=quiet(environment), show=show)

    steps: tuple[Callable[[], None], ...] = (
        lambda: start_stores(children, environment),
        lambda: start_sandbox(children, environment, port),
        # Loads while the tables are made; until then it answers 503.
        lambda: start_web(children, environment, port),
        lambda: migrate(manage, environment),
        lambda: start_worker(children, environment),
        lambda: fill_demo(manage, walk, port),
        lambda: children.wait_until("web", lambda: answers_ready(port), seconds=90),
        lambda: say("\n".join(["", *walk, addresses(environment, port), ""])),
        lambda: say(f"Latchkey is ready after {time.monotonic() - began:.1f} s."),
        lambda: say("Ctrl-C stops all of it."),
    )
    for step in steps:
        if children.stopping.is_set():
            return
        step()


def migrate(manage: Callable[..., None], environment: DevEnvironment) -> None:
    """Bring the schema up to date; the embedded one remembers that it is, to start faster."""
    mark = (
        Postgres(paths.place()).data / "latchkey-migrated" if environment.embeds_postgres else None
    )
    if mark and mark.exists() and mark.read_text() == schema_key():
        return
    say("Making the tables; the first time takes up to half a minute ...")
    manage("migrate", "-v0")
    if mark:
        mark.write_text(schema_key())


def schema_key() -> str:
    """Changes whenever `migrate` may have something to do."""
    digest = hashlib.sha256()
    for pattern in ("*/migrations/*.py", "*/apps.py", "config/settings.py", "requirements.txt"):
        for path in sorted(paths.ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def fill_demo(manage: Callable[..., None], walk: list[str], port: int) -> None:
    """Make the demo data and keep what the command prints of them for the end."""
    say("Filling in the demo data ...")
    try:
        manage("demo", "--walk", f"--port={port}", "-v0", show=walk.append)
    except StackFailed:
        say("\n".join(walk))
        raise


def start_stores(children: Children, environment: DevEnvironment) -> None:
    say("Starting; the walk through the API comes at the end ...")
    servers: list[Postgres | Valkey] = []
    if environment.embeds_postgres:
        servers.append(Postgres(paths.place()))
    if environment.embeds_valkey:
        servers.append(Valkey(paths.place()))
    for server in servers:
        children.spawn(
            server.name,
            server.command(),
            environment={"PATH": os.environ["PATH"]},
            stop_signal=server.stop_signal,
            **server.popen,
        )
    for server in servers:
        children.wait_until(server.name, server.is_ready, seconds=30)
    if not environment.embeds_postgres:
        require_database(environment.variables["DATABASE_URL"])


def require_database(url: str) -> None:
    """StackFailed says what is wrong with the PostgreSQL that was given; better than a trace."""
    try:
        connect(url).close()
    except (psycopg.Error, ValueError) as problem:
        raise StackFailed(
            f"DATABASE_URL does not lead to a PostgreSQL: {problem}\n"
            "Set it like postgres://user:password@host:5432/name, "
            "or leave it out: `make run` then starts its own."
        ) from problem


def connect(url: str) -> psycopg.Connection:
    """By a URL as the settings read it, which names a socket's directory as libpq does not."""
    if "://" not in url:
        raise ValueError("it is no URL")
    named = environ.Env.db_url_config(url)
    return psycopg.connect(
        host=named["HOST"] or None,
        port=named["PORT"] or None,
        user=named["USER"] or None,
        password=named["PASSWORD"] or None,
        dbname=named["NAME"],
        connect_timeout=5,
        **named.get("OPTIONS", {}),
    )


def start_sandbox(children: Children, environment: DevEnvironment, port: int) -> None:
    if not environment.embeds_stripe:
        return
    sandbox_port = _sandbox_port(environment)
    command = [
        *(PYTHON, "-m", "sandbox", "--port", str(sandbox_port)),
        *("--webhook-url", f"http://127.0.0.1:{port}/webhooks/stripe"),
        *("--webhook-secret", environment.webhook_secret),
        *("--state", str(paths.STATE / "sandbox.state")),
    ]
    children.spawn("sandbox", command, environment=environment.variables, cwd=paths.ROOT)


def start_web(children: Children, environment: DevEnvironment, port: int) -> None:
    if environment.embeds_stripe:
        address = (ports.LOOPBACK, _sandbox_port(environment))
        children.wait_until("sandbox", lambda: accepts(address), seconds=30)
    command = [
        *(PYTHON, "-m", "granian", "config.wsgi:application", "--interface=wsgi"),
        *("--host=127.0.0.1", f"--port={port}", "--workers=1", "--blocking-threads=16"),
        *("--no-ws", "--log-level=error"),
    ]
    children.spawn("web", command, environment=environment.variables, cwd=paths.ROOT)


def start_worker(children: Children, environment: DevEnvironment) -> None:
    """With beat inside: one Django to load instead of two."""
    command = [
        *(PYTHON, "-m", "celery", "-A", "config", "--quiet", "worker"),
        *("--beat", "--concurrency=2", "--without-gossip", "--without-mingle"),
    ]
    children.spawn("worker", command, environment=quiet(environment), cwd=paths.ROOT)


def quiet(environment: DevEnvironment) -> dict[str, str]:
    """For who would tell of every beat and every call, and push the walk off the screen."""
    return {"LOG_LEVEL": "WARNING"} | environment.variables


def answers_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def accepts(address: tuple[str, int]) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(address) == 0


def addresses(environment: DevEnvironment, port: int) -> str:
    web = f"http://127.0.0.1:{port}"
    stripe = "https://dashboard.stripe.com/test"
    if environment.embeds_stripe:
        stripe = f"{environment.variables['STRIPE_API_BASE']} (the sandbox, not Stripe)"
    rows = {"Admin": f"{web}/admin/", "API": f"{web}/docs", "Health": f"{web}/ready"}
    rows["Stripe"] = stripe
    if environment.mail_folder:
        rows["Mail"] = f"{environment.mail_folder} (written there, sent to nobody)"
    return "\n" + "\n".join(f"  {name:<7} {where}" for name, where in rows.items())


def _sandbox_port(environment: DevEnvironment) -> int:
    return int(environment.variables["STRIPE_API_BASE"].rpartition(":")[2])


def _already_running() -> str:
    record = stack_record.load()
    where = f" at http://127.0.0.1:{record.port} (pid {record.pid})" if record else ""
    return f"Latchkey already runs in this checkout{where}. `make down` stops it."


if __name__ == "__main__":
    sys.exit(main())
