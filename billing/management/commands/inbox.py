"""`manage.py inbox`: look at Stripe's events, work them off, and replay them."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, QuerySet

from billing.inbox import NotReplayable, replay, work_due
from billing.inbox_desk import effects_of
from billing.missed import fetch_missed_events
from billing.models import InboxEvent, InboxState
from billing.preview import preview_replay
from config.clock import now
from config.errors import DomainError
from keystore.doorbell import ring

ACTOR = "system:inbox-command"


class Command(BaseCommand):
    help = "List, replay, work off or fetch Stripe's events."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        listing = acts.add_parser("list", help="the newest events")
        _add_filters(listing)
        listing.add_argument("--limit", type=int, default=50)
        one = acts.add_parser("show", help="one event with its tries and effects")
        one.add_argument("event_id", metavar="EVT")
        again = acts.add_parser("replay", help="put events back to be worked off")
        again.add_argument("event_ids", nargs="*", metavar="EVT")
        _add_filters(again)
        again.add_argument("--reason", required=True, help="kept in the audit trail")
        again.add_argument("--dry-run", action="store_true", help="ask Stripe what would change")
        acts.add_parser("park-report", help="parked events, grouped by type and error")
        acts.add_parser("work", help="work off what is due, here and now")
        for name in ("sweep", "fetch"):
            sweep = acts.add_parser(name, help="take in events that Stripe lists and we lack")
            sweep.add_argument("--days", type=int, help="the last so many days, at most 30")
            sweep.add_argument("--since", type=_instant, help="ISO date or time")

    def handle(self, *, act: str, **options: Any) -> None:
        acts: dict[str, Callable[..., None]] = {
            "list": self._list,
            "show": self._show,
            "replay": self._replay,
            "park-report": self._report,
            "work": self._work,
            "fetch": self._sweep,
            "sweep": self._sweep,
        }
        acts[act](**options)

    def _list(self, *, limit: int, **options: Any) -> None:
        for event in _chosen(**options).order_by("-pk")[:limit]:
            said = event.last_error or event.note
            self.stdout.write(
                f"{event.received_at:%Y-%m-%d %H:%M:%S}  {event.state:8} {event.event_id}  "
                f"{event.type}  tries {event.attempts}  {said}".rstrip()
            )

    def _show(self, *, event_id: str, **options: Any) -> None:
        event = InboxEvent.objects.filter(event_id=event_id).first()
        if event is None:
            raise CommandError(f"{event_id}: not found")
        for name in ("event_id", "type", "state", "object_id", "stripe_customer_id", "note"):
            self.stdout.write(f"{name:20} {getattr(event, name)}")
        for one in event.tries.order_by("pk"):
            self.stdout.write(f"try {one.at:%Y-%m-%d %H:%M:%S}  {one.outcome:8} {one.said}")
        effects = effects_of(event)
        for entry in effects.audit:
            self.stdout.write(f"effect {entry.act} {entry.object_kind} {entry.object_id}")
        for operation in effects.operations:
            self.stdout.write(f"effect {operation.kind} {operation} {operation.state}")
        for message in effects.messages:
            self.stdout.write(f"effect hook {message.kind} {message.public_id}")
        self.stdout.write(json.dumps(event.payload, indent=2, sort_keys=True))

    def _replay(self, *, event_ids: list[str], reason: str, dry_run: bool, **filters: Any) -> None:
        if not (event_ids or any(filters.get(name) for name in ("state", "since", "type"))):
            raise CommandError("Name events, or choose them by --type, --state or --since.")
        events = _chosen(**filters)
        if event_ids:
            events = events.filter(event_id__in=event_ids)
            self._name_missing(events, event_ids)
        wanted, done = 0, 0
        for event in events.order_by("pk").iterator(chunk_size=100):
            wanted += 1
            done += self._preview(event) if dry_run else self._replay_one(event, reason)
        self.stdout.write(f"{done} of {wanted} {'would be ' if dry_run else ''}replayed")
        if done and not dry_run:
            ring("billing.tasks.work_inbox")

    def _replay_one(self, event: InboxEvent, reason: str) -> bool:
        try:
            replay(event=event, actor=ACTOR, reason=reason, at=now())
        except NotReplayable as refusal:
            self.stderr.write(refusal.message)
            return False
        return True

    def _preview(self, event: InboxEvent) -> bool:
        self.stdout.write(f"{event.event_id}  {event.type}  {event.state}")
        try:
            said = preview_replay(event=event, clock=now)
        except DomainError as refusal:
            self.stderr.write(refusal.message)
            return False
        for line in said:
            self.stdout.write(f"  {line}")
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

    def _sweep(self, *, since: datetime | None, days: int | None, **options: Any) -> None:
        at = now()
        new = fetch_missed_events(at=at, since=at - timedelta(days=days) if days else since)
        self.stdout.write(f"{new} events were missing")
        if new:
            ring("billing.tasks.work_inbox")


def _add_filters(parser: ArgumentParser) -> None:
    parser.add_argument("--state", choices=InboxState.values, default="")
    parser.add_argument("--type", default="", help="such as invoice.paid")
    parser.add_argument("--since", type=_instant, help="received at or after: ISO date or time")
    parser.add_argument("--until", type=_instant, help="received before: ISO date or time")


def _chosen(
    *, state: str, type: str, since: datetime | None, until: datetime | None, **_: Any
) -> QuerySet[InboxEvent]:
    events = InboxEvent.objects.all()
    if state:
        events = events.filter(state=state)
    if type:
        events = events.filter(type=type)
    if until:
        events = events.filter(received_at__lt=until)
    return events.filter(received_at__gte=since) if since else events


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not like 2026-05-01 or 2026-05-01T12:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
