"""Migrations describe the models, and stand on their own."""

import ast
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent
APPS = ["keystore", "entitlements", "metering", "billing"]
MIGRATIONS = sorted(
    path.relative_to(ROOT) for app in APPS for path in (ROOT / app / "migrations").glob("[0-9]*.py")
)
# Pure modules that migrations may name: fields refer to them by path.
ALLOWED = {"keystore.ids", "metering.columns"}


def own_imports(code: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    ours = {*APPS, "config"}
    return [name for name in names if name.split(".")[0] in ours and name not in ALLOWED]


def test_no_model_change_lacks_its_migration(db):
    call_command("makemigrations", *APPS, check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize("path", MIGRATIONS, ids=str)
def test_migration_imports_none_of_our_code(path):
    assert own_imports((ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", MIGRATIONS, ids=str)
def test_migration_is_named_by_hand(path):
    assert "_auto_" not in path.name


@pytest.mark.parametrize("path", MIGRATIONS, ids=str)
def test_migration_names_no_squash_of_others(path):
    assert "0000_squashed" not in (ROOT / path).read_text()


def test_import_of_our_code_is_found():
    assert own_imports("from keystore.models import Project\nimport django") == ["keystore.models"]
