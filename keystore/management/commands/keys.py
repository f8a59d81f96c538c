"""manage.py keys: take over the keys of another system."""

from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.clock import now
from config.errors import DomainError
from keystore.imports import import_keys, read_file
from keystore.models import ApiKey, Project

ACTOR = "system"
MOST_SHOWN = 50


class Command(BaseCommand):
    help = "Take over API keys of another system, of which only the SHA-256 is known."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="import")
        taking = acts.add_parser("import", help="Take over the keys of a CSV or JSON file.")
        taking.add_argument("file", type=Path)
        taking.add_argument("--project", required=True, help="its slug")
        taking.add_argument("--dry-run", action="store_true", help="say what would happen")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            known = ", ".join(Project.objects.values_list("slug", flat=True))
            raise CommandError(f"There is no project {options['project']!r}: {known}.")
        try:
            lines = read_file(options["file"].read_bytes())
        except (OSError, DomainError) as problem:
            raise CommandError(str(problem)) from problem
        only_preview = options["dry_run"]
        found = import_keys(
            project=project, lines=lines, actor=ACTOR, at=now(), only_preview=only_preview
        )
        refused = [one for one in found if one.status == "refused"]
        for one in refused[:MOST_SHOWN]:
            self.stdout.write(f"{one.number}: {one.detail}")
        count = Counter(one.status for one in found)
        done = "would be imported" if only_preview else "imported"
        waiting = ApiKey.objects.filter(project=project, has_foreign_digest=True).count()
        self.stdout.write(
            f"{count['imported']} of {len(found)} {done}, {count['known']} known before, "
            f"{count['refused']} refused. {waiting} keys wait for their first use."
        )
        if refused:
            raise SystemExit(1)
