"""The squash of dj-stripe's migrations makes the schema that upstream's migrations make."""

import psycopg

from config import paths
from tests.stack import upstream_schema


def test_the_squash_makes_upstreams_schema(postgres_connection: psycopg.Connection):
    made_of, *upstream = upstream_schema.KEPT.read_text().splitlines()

    assert made_of == upstream_schema.made_of(), "run python -m tests.stack.upstream_schema"
    assert len(upstream) > 500
    assert upstream_schema.schema_of(postgres_connection) == upstream


def test_no_migration_of_ours_depends_on_the_squash():
    ours = paths.ROOT.glob("*/migrations/*.py")

    assert [path.name for path in ours if "0000_squashed" in path.read_text()] == []
