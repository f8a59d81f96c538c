"""A throwaway PostgreSQL and Valkey for one run of pytest; nothing of them is left afterwards.

`TEST_DATABASE_URL` (a role that may create databases and is superuser) and `TEST_REDIS_URL` name
servers to use instead.
"""

import atexit
import functools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import environ
import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connections
from django.test import TransactionTestCase

from config import paths
from config.children import Children, StackFailed
from config.embedded import Postgres, Valkey
from tests import template

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "DEBUG": "true",  # no redirect to TLS; pytest-django switches settings.DEBUG itself off
    "SECRET_KEY": "tests-only-secret-key-that-is-long-enough-for-the-checks",
    "KEY_PEPPER": "tests-only-pepper-that-is-at-least-thirty-two-bytes",
    "STRIPE_WEBHOOK_SECRETS": "whsec_tests_current,whsec_tests_previous",
    "PUBLIC_CHECKOUT_PROJECT": "space_journal",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
    "PUSH_CACHE": "false",  # what is about it switches it on; no other test waits for leases
}
START_SECONDS = 180
# A good hash takes half a second of CPU: that is what it is for, and dozens of tests log in.
QUICK_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Production gives up sooner. On a busy machine the last of thirty in a row waits long for a lock,
# and a page that is drawn for the first time leaves its transaction idle.
PATIENCE = "-c idle_in_transaction_session_timeout=10min -c lock_timeout=5min"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the servers before pytest-django loads the settings, which then name them."""
    if settings.configured:
        raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: it loads settings too early.")
    forget_the_developers_environment()
    given = {name: os.environ.get(f"TEST_{name}", "") for name in ("DATABASE_URL", "REDIS_URL")}
    output: list[str] = []
    base = Path(tempfile.mkdtemp(prefix="latchkey-tests-"))
    children = Children(show=output.append)
    config.add_cleanup(lambda: template.remove(base))
    config.add_cleanup(children.stop)  # clean-ups run backwards: the servers stop first
    children.remove_at_death(base)
    paths.open_to_nobody(base)
    try:
        os.environ["REDIS_URL"] = given["REDIS_URL"] or start_valkey(children, base)
        os.environ["DATABASE_URL"] = (
            template.copy_on_server(given["DATABASE_URL"], config)
            if given["DATABASE_URL"]
            else start_postgres(children, base)
        )
    except (StackFailed, template.MigrationFailed) as failure:
        raise pytest.UsageError("\n".join([*output, str(failure)])) from failure
    # Loads the settings: pytest-django, next, sets up what it finds.
    settings.DATABASES["default"]["OPTIONS"]["options"] = PATIENCE
    settings.PASSWORD_HASHERS = QUICK_HASHERS
    settings.WHITENOISE_AUTOREFRESH = True  # or each test client lists every static file again
    TransactionTestCase._fixture_teardown = restore_database  # type: ignore[method-assign]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Each worker starts servers of its own: it must not find the settings named already."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def forget_the_developers_environment() -> None:
    """Make the settings the same everywhere: neither `.env` nor the shell has a say."""
    environ.Env.read_env = lambda *args, **options: None  # type: ignore[method-assign]
    example = (paths.ROOT / ".env.example").read_text()
    for name in re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE):
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)


def start_valkey(children: Children, base: Path) -> str:
    valkey = Valkey(base)
    children.spawn(valkey.name, valkey.command(), environment=dict(os.environ))
    children.wait_until(valkey.name, valkey.is_ready, seconds=START_SECONDS)
    return f"unix://{valkey.socket}"


def start_postgres(children: Children, base: Path) -> str:
    """Start on a copy of the template cluster; make the template first if it is out of date."""
    postgres = Postgres(base, durable=False)
    key = template.key()
    if not template.copy_cluster(key, postgres):
        run_postgres(children, postgres)
        template.fill(postgres.url())
        children.stop_last()
        template.keep_cluster(key, postgres)
    run_postgres(children, postgres)
    return postgres.url()


def run_postgres(children: Children, postgres: Postgres) -> None:
    children.spawn(
        postgres.name,
        postgres.command(),
        environment={"PATH": os.environ["PATH"]},
        stop_signal=postgres.stop_signal,
        **postgres.popen,
    )
    children.wait_until(postgres.name, postgres.is_ready, seconds=START_SECONDS)


def restore_database(test_case: TransactionTestCase) -> None:
    """After a test that committed: put every row and sequence back to what migrations left.

    Instead of Django's `flush`, which truncates each table and loses rows made by migrations.
    """
    if not connections["default"].get_autocommit():
        # The test was cut off in the middle: its locks shall not hold up the next ones.
        connections["default"].close()
    restore()


def restore() -> None:
    try:
        keeper().execute("select pristine.restore()")
    except psycopg.OperationalError:
        # A test cut every connection to see what becomes of its own.
        keeper.cache_clear()
        keeper().execute("select pristine.restore()")


@functools.cache
def keeper() -> psycopg.Connection:
    """A connection that only restores. Without triggers, for then no foreign key decides the order
    and ledgers that refuse DELETE allow it; for ever, because to switch them off throws away every
    plan that a session keeps, and those make it quick.
    """
    connection = template.connect(os.environ["DATABASE_URL"])
    connection.execute("set session_replication_role = replica")
    atexit.register(connection.close)
    return connection


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None) -> None:
    """The database is there already and is named by the settings: nothing to create."""
    assert settings.DATABASES["default"]["NAME"].startswith(paths.DATABASE)


@pytest.fixture(scope="session")
def _redis_client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client


@pytest.fixture(autouse=True)
def _empty_redis(_redis_client: redis.Redis) -> None:
    """Every test starts with an empty Redis, and with limiters that never found it away."""
    from keystore import ratelimit

    _redis_client.flushall()
    ratelimit._limiters.clear()


@pytest.fixture(scope="session", autouse=True)
def _undisturbed(django_test_environment: None) -> Iterator[None]:
    """No thread writes beside a test; Redis that a busy machine delays does not count as down."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keystore.lastused.FLUSH_EVERY_SECONDS", 3600)
        patch.setattr("keystore.ratelimit.SOCKET_SECONDS", 10.0)
        yield


@pytest.fixture
def postgres_connection() -> Iterator[psycopg.Connection]:
    """A connection of its own, beside Django's and outside the test's transaction."""
    with template.connect(os.environ["DATABASE_URL"]) as connection:
        yield connection
