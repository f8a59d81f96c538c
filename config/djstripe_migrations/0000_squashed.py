"""What a fresh database gets instead of dj-stripe's history: its tables as the models have them.

Upstream's files build and undo hundreds of columns (40 s of CPU); this makes the same schema in
some seconds. A database that has upstream's files applied keeps to them: Django skips a squash
whose parts are applied. Our own migrations must depend on upstream's names, never on this one.
"""

import pkgutil
from importlib import import_module

from django.apps import apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.operations.base import Operation
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState
from djstripe import migrations as upstream


def operations_from_models() -> list[Operation]:
    """What `makemigrations djstripe` would write if dj-stripe had no migration yet."""
    wanted = ProjectState.from_apps(apps)
    others = {key: model.clone() for key, model in wanted.models.items() if key[0] != "djstripe"}
    detector = MigrationAutodetector(
        ProjectState(others, real_apps=set()),
        wanted,
        MigrationQuestioner(specified_apps={"djstripe"}),
    )
    changes = detector._detect_changes()["djstripe"]
    return [operation for migration in changes for operation in migration.operations]


class AllAtOnce(Operation):
    """Many operations that make models, as one. Django would draw up all models anew for each."""

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.__dict__.pop("apps", None)  # drawn up once, when it is next asked for
        for operation in self.operations:
            operation.state_forwards(app_label, state)

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Each table as it is in the end; PostgreSQL gets the foreign keys when all are there."""
        for label, name in to_state.models:
            if label == app_label:
                schema_editor.create_model(to_state.apps.get_model(label, name))

    def describe(self) -> str:
        return f"Make the tables of {len(self.operations)} operations"


class Migration(migrations.Migration):
    initial = True
    replaces = [("djstripe", module.name) for module in pkgutil.iter_modules(upstream.__path__)]
    dependencies = import_module("djstripe.migrations.0001_initial").Migration.dependencies
    operations = [AllAtOnce(operations_from_models())]
