"""A backup is one when it has been restored."""

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from config.management.commands import restore_drill


def copies():
    database = settings.DATABASES["default"]
    with restore_drill.connect(database, database["NAME"]) as connection:
        return connection.execute(
            "select datname from pg_database where datname = %s", [restore_drill.copy_of(database)]
        ).fetchall()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_dump_is_restored_checked_and_removed(alice, capsys):
    call_command("restore_drill")

    said = capsys.readouterr().out
    assert "Restored " in said
    assert f"All {len(restore_drill.PROMISES)} promises hold." in said
    assert said.endswith("The backup can be restored. The copy is gone again.\n")
    assert copies() == []


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_no_dump_fails_the_drill_and_leaves_nothing(tmp_path):
    broken = tmp_path / "latchkey.dump"
    broken.write_text("not a dump")

    with pytest.raises(CommandError, match="pg_restore failed"):
        call_command("restore_drill", dump=broken)

    assert copies() == []


def test_the_drill_looks_at_promises_that_are_made():
    from billing.invariants import check_named

    assert [code for code in restore_drill.PROMISES if check_named(code) is None] == []


def test_the_password_is_in_no_argument():
    database = {"NAME": "l", "HOST": "db", "PORT": "5432", "USER": "u", "PASSWORD": "p@ss/word"}

    told = restore_drill.surroundings(database)

    assert told["PGPASSWORD"] == "p@ss/word"
    assert told["DATABASE_URL"] == "postgres://u:p%40ss%2Fword@db:5432/l_restore_drill"
