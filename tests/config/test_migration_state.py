import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from config.migration_state import is_behind, known_migrations, pending_migrations


def forget_migrations(where):
    with connection.cursor() as cursor:
        cursor.execute(f"delete from django_migrations where {where}")


def test_nothing_is_pending_after_migrate(db):
    assert pending_migrations() == []
    assert not is_behind()


def test_knows_the_same_files_as_django(db):
    assert set(known_migrations()) == set(MigrationExecutor(connection).loader.disk_migrations)


@pytest.mark.parametrize("app", ["billing", "auth", "djstripe"])
def test_forgotten_migration_is_pending(db, app):
    forget_migrations(f"app = '{app}'")

    assert {name.partition(".")[0] for name in pending_migrations()} == {app}
    assert is_behind()


def test_empty_database_lacks_everything(db):
    with connection.cursor() as cursor:
        cursor.execute("drop table django_migrations")

    assert len(pending_migrations()) == len(set(known_migrations()))


def test_unreadable_database_counts_as_behind(db):
    with connection.cursor() as cursor:
        cursor.execute("alter table django_migrations rename column applied to gone")

    assert is_behind()
