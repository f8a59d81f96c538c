"""`manage.py demo`: the data of the examples, made once and completed by every later call."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.catalog_tables import find_project
from billing.demo import build_demo, demo_token, read_catalog, refuse_where_it_hurts
from billing.demo_history import live_through_the_past
from billing.demo_logins import Logins
from billing.demo_market import open_market
from billing.demo_walk import walk_of
from billing.models import Price
from config.clock import now
from config.errors import DomainError
from keystore.models import Project

LOGINS = ".latchkey/demo-logins.env"
DEFAULT_PORT = 8000


class Command(BaseCommand):
    help = "Make the demo data; --walk shows its logins, keys and requests."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--walk", action="store_true", help="make it, then print the walk")
        parser.add_argument("--print-walk", action="store_true", help="print, change nothing")
        parser.add_argument(
            "--history", action="store_true", help="also a quarter of a year of business"
        )
        parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="where the web answers")
        parser.add_argument(
            "--force-demo", action="store_true", help="also with DEBUG off (never with a live key)"
        )

    def handle(self, **options: Any) -> None:
        logins = Logins(Path(settings.BASE_DIR) / LOGINS)
        try:
            if not options["print_walk"]:
                self._make(logins, options)
            if options["walk"] or options["print_walk"]:
                self._print_walk(logins, options["port"])
        except DomainError as problem:
            raise CommandError(problem.message) from problem

    def _make(self, logins: Logins, options: dict[str, Any]) -> None:
        refuse_where_it_hurts(forced=options["force_demo"])
        report = build_demo(logins=logins, clock=now)
        for line in report.problems:
            self.stderr.write(line)
        if options["history"]:
            made = live_through_the_past(project=report.project, clock=now)
            open_market(project=report.project, clock=now)
            self.stdout.write(f"{made} buyers with a past were added.")
        if options["verbosity"]:
            self.stdout.write(f"The demo data are there; logins and keys are in {logins.path}.")

    def _print_walk(self, logins: Logins, port: int) -> None:
        project = find_project(read_catalog().slug)
        if project is None:
            raise CommandError("There are no demo data yet: run `make demo`.")
        web = f"http://127.0.0.1:{port}"
        price_id = _pro_price_id(project)
        token = demo_token(project=project, logins=logins, at=now())
        walk = walk_of(project=project, price_id=price_id, logins=logins, web=web, token=token)
        self.stdout.write(walk)


def _pro_price_id(project: Project) -> str:
    row = Price.objects.filter(
        project=project, plan__code="pro", active=True, only_for=None
    ).order_by("-pk")
    found = row.first()
    return found.stripe_price_id if found else "price_123"
