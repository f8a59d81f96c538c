"""The migrated database that each run of pytest starts from, made once per set of migrations."""

import hashlib
import os
import platform
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import environ
import psycopg
import pytest

from config import paths
from config.embedded import Postgres

# A change in one of these may change what `migrate` leaves in a fresh database.
INGREDIENTS = (
    "*/migrations/*.py",
    "config/djstripe_migrations/*.py",
    "*/apps.py",
    "config/settings.py",
    "requirements-dev.txt",
    "tests/template.py",
    "tests/pristine.sql",
)
KEPT = 4  # templates of other branches
PREFIX = "test-template-"


class MigrationFailed(Exception):
    """`migrate` failed on the fresh database; the message is its output."""


def key() -> str:
    """Names the schema: the same for the same migrations, libraries and machine."""
    digest = hashlib.sha256(platform.machine().encode())
    for pattern in INGREDIENTS:
        for path in sorted(paths.ROOT.glob(pattern)):
            digest.update(str(path.relative_to(paths.ROOT)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def fill(database_url: str) -> None:
    """Migrate a fresh database and remember its rows as pristine."""
    migrate = subprocess.run(
        [sys.executable, str(paths.ROOT / "manage.py"), "migrate", "-v0", "--skip-checks"],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    if migrate.returncode != 0:
        raise MigrationFailed(migrate.stdout + migrate.stderr)
    with connect(database_url) as connection:
        connection.execute((paths.ROOT / "tests/pristine.sql").read_bytes())


def copy_cluster(name: str, postgres: Postgres) -> bool:
    """Copy the kept cluster to where the server will run; False when there is none yet."""
    kept = paths.STATE / f"{PREFIX}{name}"
    if not kept.exists():
        return False
    shutil.copytree(kept, postgres.data, symlinks=True)
    postgres.give_to_server(postgres.data)
    return True


def keep_cluster(name: str, postgres: Postgres) -> None:
    """Keep a stopped cluster for later runs; one that another run kept meanwhile stays."""
    paths.STATE.mkdir(mode=0o700, exist_ok=True)
    unfinished = paths.STATE / f"{PREFIX}{name}.{os.getpid()}"
    shutil.copytree(postgres.data, unfinished, symlinks=True)
    try:
        unfinished.rename(paths.STATE / f"{PREFIX}{name}")
    except OSError:
        remove(unfinished)
    found = paths.STATE.glob(f"{PREFIX}*")
    for old in sorted(found, key=lambda path: path.stat().st_ctime)[:-KEPT]:
        remove(old)


def copy_on_server(server_url: str, config: pytest.Config) -> str:
    """A database of this run on a given server, copied there from a template; dropped at exit."""
    template = f"{paths.DATABASE}_template_{key()}"
    own = f"{paths.DATABASE}_test_{secrets.token_hex(4)}"
    with connect(server_url) as server:
        server.execute("select pg_advisory_lock(hashtext(%s))", [template])
        known = server.execute("select 1 from pg_database where datname = %s", [template])
        if known.fetchone() is None:
            server.execute(f'create database "{own}"'.encode())
            fill(_with_database(server_url, own))
            server.execute(f'alter database "{own}" rename to "{template}"'.encode())
        server.execute(f'create database "{own}" template "{template}"'.encode())
    config.add_cleanup(lambda: _drop(server_url, own))
    return _with_database(server_url, own)


def connect(url: str) -> psycopg.Connection:
    """Connect by a URL as settings read it, which names a socket's directory as libpq does not."""
    named = environ.Env.db_url_config(url)
    return psycopg.connect(
        host=named["HOST"],
        port=named["PORT"] or None,
        user=named["USER"],
        password=named["PASSWORD"] or None,
        dbname=named["NAME"],
        autocommit=True,
    )


def remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def _drop(server_url: str, database: str) -> None:
    with connect(server_url) as server:
        server.execute(f'drop database if exists "{database}" with (force)'.encode())


def _with_database(server_url: str, database: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{database}"))
