"""`manage.py restore_drill`: is our backup one that the business could go on from?"""

import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from psycopg import sql

from config import paths
from config.embedded import MissingBinary, postgres_bin

# What must hold of the rows themselves, however old they are; jobs do not run on a copy.
PROMISES = (
    "refunds-within-captured",
    "ledger-equals-refunds",
    "grants-end-with-subscriptions",
    "keys-end-with-access",
    "one-key-per-slot",
    "ended-events-say-why",
    "audit-is-guarded",
    "balances-count-their-events",
    "credits-equal-their-ledger",
    "kept-back-is-held",
)


class Command(BaseCommand):
    help = "Dump the database, restore it beside itself, look at the promises, drop the copy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dump", type=Path, help="a file of pg_dump -Fc to restore instead")

    def handle(self, *, dump: Path | None, **options: Any) -> None:
        database = settings.DATABASES["default"]
        try:
            with tempfile.TemporaryDirectory() as folder:
                dump = dump or self._dump(database, Path(folder) / "latchkey.dump")
                self._restore(database, dump)
            self._look(database)
        finally:
            administer(database, "DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self.stdout.write("The backup can be restored. The copy is gone again.")

    def _dump(self, database: dict[str, Any], file: Path) -> Path:
        run(tool("pg_dump"), "--format=custom", f"--file={file}", database["NAME"], of=database)
        self.stdout.write(f"Dumped {file.stat().st_size:,} bytes.")
        return file

    def _restore(self, database: dict[str, Any], file: Path) -> None:
        administer(database, "DROP DATABASE IF EXISTS {} WITH (FORCE)")
        administer(database, "CREATE DATABASE {} TEMPLATE template0")
        where = ("--no-owner", "--exit-on-error", f"--dbname={copy_of(database)}")
        run(tool("pg_restore"), *where, str(file), of=database)
        with connect(database, copy_of(database)) as connection:
            tables, rows = count_rows(connection)
        self.stdout.write(f"Restored {rows:,} rows in {tables} tables.")

    def _look(self, database: dict[str, Any]) -> None:
        if is_behind(database):
            self.stdout.write("The backup is of an older version: migrating the copy.")
            self.stdout.write(manage("migrate", "-v0", of=database))
        self.stdout.write(manage("check_invariants", *PROMISES, of=database))


def copy_of(database: dict[str, Any]) -> str:
    return f"{database['NAME']}_restore_drill"


def tool(name: str) -> str:
    """The program of PostgreSQL: the bundled one beside `make run`, else the one in the path."""
    try:
        beside = shutil.which(name, path=str(postgres_bin()))
    except MissingBinary:
        beside = None
    if found := beside or shutil.which(name):
        return found
    raise CommandError(f"{name} is missing. Debian: apt-get install postgresql-client-18")


def run(*command: str, of: dict[str, Any]) -> str:
    """What the command printed. The password travels in its environment, where `ps` is blind."""
    environment = {**os.environ, **surroundings(of)}
    done = subprocess.run(command, env=environment, cwd=paths.ROOT, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise CommandError(f"{Path(command[0]).name} failed:\n{said}")
    return done.stdout.strip()


def manage(*arguments: str, of: dict[str, Any]) -> str:
    """A command of ours on the copy; nobody is alerted of what it finds there."""
    return run(sys.executable, "manage.py", *arguments, of=of)


def surroundings(database: dict[str, Any]) -> dict[str, str]:
    """Where the server is, for libpq, and where the copy is, for us."""
    ssl = database.get("OPTIONS", {}).get("sslmode")
    password = database.get("PASSWORD") or ""
    login = quote(database["USER"], safe="") + (f":{quote(password, safe='')}" if password else "")
    port = f":{database['PORT']}" if database.get("PORT") else ""
    address = f"postgres://{login}@{database['HOST']}{port}/{copy_of(database)}"
    if database["HOST"].startswith("/"):
        address = f"postgres://{login}@/{database['HOST']}/{copy_of(database)}"
    known = {
        "PGHOST": database["HOST"],
        "PGPORT": str(database.get("PORT") or ""),
        "PGUSER": database["USER"],
        "PGPASSWORD": password,
        "PGSSLMODE": ssl or "",
        "DATABASE_URL": f"{address}?sslmode={ssl}" if ssl else address,
    }
    return {name: value for name, value in known.items() if value} | {"ALERT_EMAILS": ""}


def connect(database: dict[str, Any], name: str) -> psycopg.Connection:
    return psycopg.connect(
        host=database["HOST"] or None,
        port=database.get("PORT") or None,
        user=database["USER"] or None,
        password=database.get("PASSWORD") or None,
        sslmode=database.get("OPTIONS", {}).get("sslmode"),
        dbname=name,
        autocommit=True,
    )


def administer(database: dict[str, Any], statement: str) -> None:
    with connect(database, database["NAME"]) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(copy_of(database))))


def count_rows(connection: psycopg.Connection) -> tuple[int, int]:
    """How many tables, and how many rows in all of them, counted one by one."""
    named = connection.execute(
        "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    ).fetchall()
    count = sql.SQL("select count(*) from {}")
    rows = 0
    for (name,) in named:
        counted = connection.execute(count.format(sql.Identifier(name))).fetchone()
        rows += counted[0] if counted else 0
    return len(named), rows


def is_behind(database: dict[str, Any]) -> bool:
    """Whether the copy lacks migrations that the running database has."""
    applied = []
    for name in (database["NAME"], copy_of(database)):
        with connect(database, name) as connection:
            found = connection.execute("select app, name from django_migrations").fetchall()
            applied.append(set(found))
    return bool(applied[0] - applied[1])
