"""The squash of dj-stripe's migrations makes the schema that upstream's migrations make."""

import hashlib
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version

import psycopg
import pytest

from config import paths
from tests import template

SCHEMA = """
    select 'column', c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || case when a.attnotnull then ' not null' else '' end || a.attidentity
        || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relkind = 'r' and c.relname like 'djstripe\\_%'
    union all
    select 'constraint', conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    from pg_constraint where conrelid::regclass::text like 'djstripe\\_%'
    union all
    select 'index', indexdef from pg_indexes where tablename like 'djstripe\\_%'
"""


def schema_of(connection: psycopg.Connection) -> list[str]:
    return sorted(" ".join(row) for row in connection.execute(SCHEMA.encode()).fetchall())


def upstream_schema(connection: psycopg.Connection) -> list[str]:
    """From a database of its own; kept per version of what makes it, since it takes a minute."""
    made_of = f"dj-stripe {version('dj-stripe')} django {version('django')} {SCHEMA}"
    kept = paths.STATE / f"djstripe-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.json"
    if not kept.exists():
        connection.execute(b"create database upstream")
        url = re.sub(r"/[^/]+$", "/upstream", os.environ["DATABASE_URL"])
        migrate_upstream(url)
        with template.connect(url) as upstream:
            paths.STATE.mkdir(exist_ok=True)
            kept.write_text(json.dumps(schema_of(upstream)))
        connection.execute(b"drop database upstream with (force)")
    return json.loads(kept.read_text())


def migrate_upstream(url: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "djstripe", "-v0", "--skip-checks"],
        env={
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "tests.stack.upstream_settings",
        },
        cwd=paths.ROOT,
        check=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_squash_makes_upstreams_schema(postgres_connection: psycopg.Connection):
    upstream = upstream_schema(postgres_connection)

    assert len(upstream) > 500
    assert schema_of(postgres_connection) == upstream


def test_no_migration_of_ours_depends_on_the_squash():
    ours = paths.ROOT.glob("*/migrations/*.py")

    assert [path.name for path in ours if "0000_squashed" in path.read_text()] == []
