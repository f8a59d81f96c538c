"""`manage.py reconcile`: compare Stripe with everything we have, and mend what differs."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from billing.models import ReconciliationRun, RunMode, RunState
from billing.reconciliation.kinds import EVERY_KIND, DriftKind
from billing.reconciliation.runs import start_run
from billing.reconciliation.selectors import counts_by_kind
from billing.reconciliation.work import work_reconciliations
from config.clock import now
from config.errors import DomainError
from keystore.models import Project

ACTOR = "system:reconcile-command"
SECONDS_OF_A_SLICE = 2.0


class Command(BaseCommand):
    help = (
        "Compare Stripe with mirror, projections, grants, keys and answers. Without --repair it "
        "only looks. The work is done by the queue; with --wait by this command too, and the "
        "exit code is 1 when the run fails or differences are left."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", default="", help="slug or public id; else all projects")
        parser.add_argument(
            "--days-back",
            type=int,
            default=settings.RECONCILIATION_DAYS_BACK,
            help="days of charges, refunds and invoices; 0: all (default: %(default)s)",
        )
        acts = parser.add_mutually_exclusive_group()
        acts.add_argument("--repair", nargs="+", default=[], metavar="KIND", help="kinds to mend")
        acts.add_argument("--repair-all", action="store_true", help="mend whatever differs")
        acts.add_argument("--dry-run", action="store_true", help="only look (the default)")
        parser.add_argument("--wait", action="store_true", help="work here, and show progress")
        parser.add_argument("--kinds", action="store_true", help="list the kinds, do nothing")

    def handle(self, *, wait: bool, kinds: bool, **options: Any) -> None:
        if kinds:
            self.stdout.write("\n".join(DriftKind.values))
            return
        run = self._start(**options)
        self.stdout.write(f"{run.public_id} {'begins' if wait else 'waits for the queue'}")
        if wait:
            self._follow(run)

    def _start(
        self, *, project: str, days_back: int, repair: list[str], repair_all: bool, **_: Any
    ) -> ReconciliationRun:
        repair_kinds = [EVERY_KIND] if repair_all else repair
        try:
            return start_run(
                project=_project(project),
                mode=RunMode.REPAIR if repair_kinds else RunMode.DRY_RUN,
                repair_kinds=repair_kinds,
                days_back=days_back or None,
                actor=ACTOR,
                at=now(),
            )
        except DomainError as refusal:
            raise CommandError(refusal.message) from refusal

    def _follow(self, run: ReconciliationRun) -> None:
        said = ""
        while run.finished_at is None:
            if not work_reconciliations(clock=now, seconds=SECONDS_OF_A_SLICE):
                time.sleep(0.5)
            run.refresh_from_db()
            line = f"{run.step or 'waiting'}: {run.compared} of about {run.expected} objects"
            if line != said:
                self.stdout.write(f"  {line}, {run.found} differences")
                said = line
        self._report(run)

    def _report(self, run: ReconciliationRun) -> None:
        for kind, count in counts_by_kind(run=run).items():
            self.stdout.write(
                f"  {kind}: {count.found} found, {count.repaired} repaired, {count.open} open"
            )
        self.stdout.write(
            f"{run.state}: {run.compared} compared, {run.found} found, {run.repaired} repaired"
        )
        if run.state == RunState.FAILED:
            raise CommandError(run.problem)
        if run.found > run.repaired:
            raise CommandError(f"{run.found - run.repaired} differences are left.")


def _project(name: str) -> Project | None:
    if not name:
        return None
    found = Project.objects.filter(Q(slug=name) | Q(public_id=name)).first()
    if found is None:
        slugs = ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True))
        raise CommandError(f"There is no project {name!r}. There are: {slugs}.")
    return found
