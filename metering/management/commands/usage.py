"""manage.py usage: roll up, prove, mend, prune."""

from argparse import ArgumentParser
from datetime import UTC, date, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.clock import now
from metering import rebuild, retention, rollup


class Command(BaseCommand):
    help = "Roll usage up, prove the totals from the events, or drop months that are old enough."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="rollup|rebuild|prune")
        acts.add_parser("rollup", help="Count what is new, until nothing is left.")
        proof = acts.add_parser(
            "rebuild",
            help="Make the totals again from the events and compare; exit 1 if any differs.",
        )
        proof.add_argument("--since", type=date.fromisoformat, help="a day in UTC: 2026-11-01")
        proof.add_argument("--repair", action="store_true", help="replace the totals that differ")
        proof.add_argument(
            "--reset",
            action="store_true",
            help="after a restore into another cluster: count every event as totalled, then repair",
        )
        prune = acts.add_parser(
            "prune", help="Drop months of events that are totalled and reported."
        )
        prune.add_argument(
            "--keep-months",
            type=int,
            default=settings.USAGE_RETENTION_MONTHS,
            help="how many whole months stay (default: USAGE_RETENTION_MONTHS; 0 keeps all)",
        )
        prune.add_argument("--dry-run", action="store_true", help="say what would be dropped")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['act']}")(options)

    def _rollup(self, options: dict[str, Any]) -> None:
        events = rollup.roll_up(clock=now, seconds=3600)
        self.stdout.write(f"{events} events counted, {rollup.lag()} left.")

    def _rebuild(self, options: dict[str, Any]) -> None:
        if options["reset"]:
            proof = rebuild.reset_mark()
        else:
            day = options["since"]
            since = datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None
            proof = rebuild.prove_totals(since=since, repair=options["repair"])
        for found in proof.differences:
            self.stdout.write(
                f"meter {found.meter_id}, consumer {found.consumer_id}, {found.grain} "
                f"{found.bucket:%Y-%m-%d %H:%M}: {found.field} {found.stored}, events say "
                f"{found.proven}"
            )
        mended = options["repair"] or options["reset"]
        told = f"{proof.buckets} totals since {proof.since:%Y-%m-%d}"
        if not proof.differences:
            self.stdout.write(f"{told} are what their events say.")
        elif mended:
            self.stdout.write(f"{told}: {len(proof.differences)} differed and were replaced.")
        else:
            raise CommandError(f"{told}: {len(proof.differences)} differ. Mend with --repair.")

    def _prune(self, options: dict[str, Any]) -> None:
        keep = options["keep_months"]
        if keep < 0:
            raise CommandError("--keep-months must be 0 (keep all) or more.")
        if keep == 0:
            self.stdout.write("Every month is kept (USAGE_RETENTION_MONTHS=0).")
            return
        verdicts = retention.prune_events(
            keep_months=keep, actor="command:usage", at=now(), dry_run=options["dry_run"]
        )
        gone = "would go" if options["dry_run"] else "dropped"
        for verdict in verdicts:
            what = f"kept: {verdict.kept_because}" if verdict.kept_because else gone
            month = f"{verdict.partition.start:%Y-%m}"
            self.stdout.write(f"{month}: {verdict.events} events, {what}")
        if not verdicts:
            self.stdout.write(f"No month ended more than {keep} months ago.")
