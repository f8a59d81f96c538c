"""`manage.py catalog diff|push|pull`: the catalogue in source control, in the tables, at Stripe."""

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import catalog
from billing.catalog_diff import Change
from billing.catalog_file import dump_catalog, keep_heading, parse_catalog
from billing.catalog_spec import ProjectSpec
from billing.catalog_tables import find_project
from config.clock import now
from config.errors import DomainError

DEFAULT_FILE = "catalog/space_journal.yaml"
ACTOR = "system"


class Command(BaseCommand):
    help = (
        "diff: what push would do (exit code 1 if anything). push: file -> tables -> Stripe. "
        "pull: Stripe -> tables -> file ('-' prints it)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=("diff", "push", "pull"))
        parser.add_argument("file", nargs="?", default=DEFAULT_FILE, help=DEFAULT_FILE)
        parser.add_argument("--project", help="only the project with this slug")

    def handle(self, *, act: str, file: str, project: str | None, **options: Any) -> None:
        try:
            if act == "pull":
                self._pull(file, project)
            else:
                changes = self._push(file, project) if act == "push" else self._diff(file, project)
                self.stdout.write(f"{changes} changes.")
        except DomainError as problem:
            raise CommandError(problem.message) from problem
        if act == "diff" and changes:
            sys.exit(1)

    def _push(self, file: str, project: str | None) -> int:
        count = 0
        for spec in _read(file, project):
            report = catalog.push(project=spec, actor=ACTOR, clock=now)
            count += self._show(report.changes)
        return count

    def _diff(self, file: str, project: str | None) -> int:
        return sum(self._show(catalog.diff(project=spec)) for spec in _read(file, project))

    def _show(self, changes: list[Change]) -> int:
        for change in changes:
            self.stdout.write(str(change))
        return len(changes)

    def _pull(self, file: str, project: str | None) -> None:
        source = DEFAULT_FILE if file == "-" else file
        slugs = [project] if project else [spec.slug for spec in _read(source, None)]
        specs = []
        for slug in slugs:
            row = find_project(slug)
            if row is None:
                raise CommandError(f"There is no project {slug!r} yet: push first.")
            spec, changes = catalog.pull(project=row, at=now())
            specs.append(spec)
            if file != "-":
                self.stdout.write(f"{self._show(changes)} changes.")
        text = dump_catalog(specs)
        if file == "-":
            self.stdout.write(text)
        else:
            path = Path(file)
            path.write_text((keep_heading(path.read_text()) if path.exists() else "") + text)


def _read(file: str, project: str | None) -> list[ProjectSpec]:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise CommandError(f"{file} cannot be read: {problem}") from problem
    specs = parse_catalog(text, variables=settings.CATALOG_VARIABLES)
    chosen = [spec for spec in specs if project in (None, spec.slug)]
    if not chosen:
        raise CommandError(f"{file} has no project {project!r}.")
    return chosen
