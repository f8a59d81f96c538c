"""What dj-stripe's own migrations make, written down once per release because it takes a minute.

`python -m tests.stack.upstream_schema` writes `djstripe_schema.txt` again, from a real database.
"""

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import psycopg

from config import paths
from config.children import Children
from config.embedded import Postgres

KEPT = Path(__file__).parent / "djstripe_schema.txt"

# Without the constraints "n" (not null), which PostgreSQL has as rows since 18 only.
SCHEMA = r"""
    select 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || case when a.attnotnull then ' not null' else '' end
        || case when a.attidentity = 'd' then ' identity' else '' end
        || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
        and c.relname like 'djstripe\_%'
    union all
    select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    from pg_constraint
    where connamespace = 'public'::regnamespace and contype <> 'n'
        and conrelid::regclass::text like 'djstripe\_%'
    union all
    select 'index ' || indexdef from pg_indexes
    where schemaname = 'public' and tablename like 'djstripe\_%'
"""


def made_of() -> str:
    """The releases whose change may change the schema; the first line of the file."""
    django = ".".join(version("django").split(".")[:2])
    return f"# dj-stripe {version('dj-stripe')}, Django {django}"


def schema_of(connection: psycopg.Connection) -> list[str]:
    return sorted(row[0] for row in connection.execute(SCHEMA.encode()).fetchall())


def main() -> None:
    base = Path(tempfile.mkdtemp(prefix="lk-"))
    paths.open_to_nobody(base)
    postgres = Postgres(base, durable=False)
    children = Children(show=sys.stderr.write)
    children.remove_at_death(base)
    children.spawn(
        "postgres",
        postgres.command(),
        environment={"PATH": os.environ["PATH"]},
        stop_signal=postgres.stop_signal,
        **postgres.popen,
    )
    children.wait_until("postgres", postgres.is_ready, seconds=60)
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0", "--skip-checks"],
        env={
            **os.environ,
            "SECRET_KEY": "any",
            "KEY_PEPPER": "any",
            "DATABASE_URL": postgres.url(),
            "DJANGO_SETTINGS_MODULE": "tests.stack.upstream_settings",
        },
        cwd=paths.ROOT,
        check=True,
    )
    with postgres.connect(paths.DATABASE) as connection:
        KEPT.write_text("\n".join([made_of(), *schema_of(connection)]) + "\n")
    children.stop()


if __name__ == "__main__":
    main()
