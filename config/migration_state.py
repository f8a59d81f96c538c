"""Whether the database has every table that this code expects."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import DatabaseError


def pending_migrations() -> list[str]:
    """Names of the migrations that this code has and the database lacks.

    Reads file names and one table. Django's own loader would import every file, which takes
    seconds where a squash is computed from models. `migrate` records each file by its name, the
    parts of a squash included, so names are enough.
    """
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in known_migrations() if (app, name) not in applied)


def is_behind() -> bool:
    """True while a migration is pending, and when the database cannot even say."""
    try:
        return bool(pending_migrations())
    except DatabaseError:
        return True


def known_migrations() -> Iterator[tuple[str, str]]:
    """App label and name of every migration file of the installed apps."""
    for app in apps.get_app_configs():
        module_name, _ = MigrationLoader.migrations_module(app.label)
        try:
            package = import_module(module_name or "")
        except (ModuleNotFoundError, ValueError):
            continue  # an app without tables
        for file in pkgutil.iter_modules(package.__path__):
            if file.name[0] not in "_~":
                yield app.label, file.name
