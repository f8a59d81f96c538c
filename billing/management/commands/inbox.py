"""`manage.py inbox`: look at Stripe's events, work them off, and replay them."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, QuerySet

from billing.inbox import NotReplayable, replay, work_due
from billing.missed import fetch_missed_events
from billing.models import InboxEvent, InboxState
from config.clock import now
from keystore.doorbell import ring

ACTOR = "system:inbox-command"


class Command(BaseCommand):
    help = "List, replay, work off or fetch Stripe's events."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        listing = acts.add_parser("list", help="the newest events")
        _add_filters(listing)
        listing.add_argument("--limit", type=int, default=50)
        again = acts.add_parser("replay", help="put events back to be worked off")
        again.add_argument("event_ids", nargs="*", metavar="EVT")
        _add_filters(again)
        again.add_argument("--reason", required=True, help="kept in the audit trail")
        again.add_argument("--dry-run", action="store_true", help="only say what would be replayed")
        acts.add_parser("park-report", help="parked events, grouped by type and error")
        acts.add_parser("work", help="work off what is due, here and now")
        fetch = acts.add_parser("fetch", help="take in events that Stripe lists and we lack")
        fetch.add_argument("--since", type=_instant, help="ISO date or time, at most 30 days ago")

    def handle(self, *, act: str, **options: Any) -> None:
        acts: dict[str, Callable[..., None]] = {
            "list": self._list,
            "replay": self._replay,
            "park-report": self._report,
            "work": self._work,
            "fetch": self._fetch,
        }
        acts[act](**options)

    def _list(self, *, limit: int, **options: Any) -> None:
        for event in _chosen(**options).order_by("-pk")[:limit]:
            said = event.last_error or event.note
            self.stdout.write(
                f"{event.received_at:%Y-%m-%d %H:%M:%S}  {event.state:8} {event.event_id}  "
                f"{event.type}  tries {event.attempts}  {said}".rstrip()
            )

    def _replay(
        self, *, event_ids: list[str], reason: str, dry_run: bool, state: str, since: Any, **_: Any
    ) -> None:
        if not (event_ids or state or since):
            raise CommandError("Name events, or choose them by --state or --since.")
        events = _chosen(state=state, since=since)
        if event_ids:
            events = events.filter(event_id__in=event_ids)
            self._name_missing(events, event_ids)
        wanted, done = list(events.order_by("pk")), 0
        for event in wanted:
            done += self._replay_one(event, reason, dry_run=dry_run)
        self.stdout.write(f"{done} of {len(wanted)} {'would be ' if dry_run else ''}replayed")
        if done and not dry_run:
            ring("billing.tasks.work_inbox")

    def _replay_one(self, event: InboxEvent, reason: str, *, dry_run: bool) -> bool:
        if dry_run:
            self.stdout.write(f"{event.event_id}  {event.type}  {event.state}")
            return True
        try:
            replay(event=event, actor=ACTOR, reason=reason, at=now())
        except NotReplayable as refusal:
            self.stderr.write(refusal.message)
            return False
        return True

    def _name_missing(self, events: QuerySet[InboxEvent], event_ids: list[str]) -> None:
        found = set(events.values_list("event_id", flat=True))
        for event_id in event_ids:
            if event_id not in found:
                self.stderr.write(f"{event_id}: not found")

    def _report(self, **options: Any) -> None:
        parked = InboxEvent.objects.filter(state=InboxState.PARKED).order_by()
        groups = parked.values_list("type", "last_error").annotate(n=Count("pk")).order_by("-n")
        for event_type, error, number in groups:
            self.stdout.write(f"{number:5}  {event_type}  {error}")
        self.stdout.write(f"{parked.count()} parked")

    def _work(self, **options: Any) -> None:
        total = 0
        while worked := work_due(clock=now):
            total += worked
        self.stdout.write(f"{total} events worked off")

    def _fetch(self, *, since: datetime | None, **options: Any) -> None:
        new = fetch_missed_events(at=now(), since=since)
        self.stdout.write(f"{new} events were missing")
        if new:
            ring("billing.tasks.work_inbox")


def _add_filters(parser: ArgumentParser) -> None:
    parser.add_argument("--state", choices=InboxState.values, default="")
    parser.add_argument("--since", type=_instant, help="received at or after: ISO date or time")


def _chosen(*, state: str, since: datetime | None, **_: Any) -> QuerySet[InboxEvent]:
    events = InboxEvent.objects.all()
    if state:
        events = events.filter(state=state)
    return events.filter(received_at__gte=since) if since else events


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not like 2026-05-01 or 2026-05-01T12:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
