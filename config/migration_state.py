"""Whether the database has every table that this code expects."""

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import DatabaseError


def pending_migrations() -> list[str]:
    """Names of the migrations that this code has and the database lacks."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def is_behind() -> bool:
    """True while a migration is pending, and when the database cannot even say."""
    try:
        return bool(pending_migrations())
    except DatabaseError:
        return True
