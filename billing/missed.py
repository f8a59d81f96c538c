"""Events that Stripe made and we never received: its own list tells (it keeps 30 days).

A watermark says how far the list was read, so each sweep reads only what is new. After a long
downtime one window is read page by page over as many runs as it takes, and nothing twice.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction

from billing import gateway
from billing.models import EventSweep, InboxEvent
from billing.receipt import keep
from keystore import audit
from keystore.doorbell import ring

logger = logging.getLogger(__name__)

NAME = "events"
FIRST_LOOK_BACK = timedelta(hours=2)  # before there is a watermark
LONGEST_LOOK_BACK = timedelta(days=30)
SETTLING = timedelta(seconds=30)  # younger ones are probably on their way
OVERLAP = timedelta(minutes=15)  # Stripe may list an event later than it is dated
BUDGET_SECONDS = 25.0
SILENCE = timedelta(minutes=15)


@dataclass(frozen=True)
class Silence:
    """Stripe made events, and no webhook brought any of them."""

    events: int
    last_webhook_at: datetime | None


def fetch_missed_events(
    *, at: datetime, since: datetime | None = None, seconds: float = BUDGET_SECONDS
) -> int:
    """Take in what Stripe lists and we lack; returns how many were new.

    Without `since` it goes on from the watermark, for about `seconds`, and remembers each page.
    With it, the whole range is read now and the watermark stays. Events that we know are not
    counted as delivered again.
    """
    if since is not None:
        start = max(since, at - LONGEST_LOOK_BACK)
        pages = gateway.read_pages("/v1/events", **_between(start, at - SETTLING))
        found = sum(_take_in(page, at) for page in pages)
        _log(found, start, at - SETTLING, finished=True)
        return found
    return _go_on(_watermark(at), at, time.monotonic() + seconds)


@transaction.atomic
def sweep_again(*, days: int, reason: str, actor: str, at: datetime) -> EventSweep:
    """Put the watermark back, so that the sweeps to come read these days once more."""
    start = at - min(timedelta(days=days), LONGEST_LOOK_BACK)
    sweep = EventSweep.objects.select_for_update(no_key=True).get(pk=_watermark(at).pk)
    before = sweep.read_until
    sweep.read_until = min(before, start)
    sweep.window_until, sweep.cursor = None, ""
    sweep.save(update_fields=["read_until", "window_until", "cursor"])
    audit.record(
        actor=actor,
        act="inbox.sweep",
        target=sweep,
        before={"read_until": before},
        after={"read_until": sweep.read_until},
        reason=reason,
    )
    transaction.on_commit(partial(ring, "billing.tasks.fetch_missed_events"))
    return sweep


def latest_sweep() -> EventSweep | None:
    """How far the list was read, for whoever shows it."""
    return EventSweep.objects.filter(name=NAME).first()


def silence(*, at: datetime) -> Silence | None:
    """Whether Stripe has made events for 15 minutes of which no webhook came."""
    delivered = InboxEvent.objects.filter(deliveries__gt=0).order_by("-received_at")
    last = delivered.values_list("received_at", flat=True).first()
    if last is not None and last > at - SILENCE:
        return None
    unheard = InboxEvent.objects.filter(
        deliveries=0, received_at__gte=at - timedelta(days=1), stripe_created_at__lte=at - SILENCE
    )
    if last is not None:
        unheard = unheard.filter(stripe_created_at__gt=last)
    number = unheard.count()
    return Silence(number, last) if number else None


def _watermark(at: datetime) -> EventSweep:
    begin = {"read_until": at - FIRST_LOOK_BACK, "swept_at": at}
    return EventSweep.objects.get_or_create(name=NAME, defaults=begin)[0]


def _go_on(sweep: EventSweep, at: datetime, stop_at: float) -> int:
    """Read the half-read window, or a new one up to now; remember the place after each page."""
    start = max(sweep.read_until - OVERLAP, at - LONGEST_LOOK_BACK)
    until = sweep.window_until or at - SETTLING
    found, finished = 0, False
    before = sweep.taken_in if sweep.cursor else 0  # by earlier runs of the same window
    while not finished:
        page = _page(start, until, sweep)
        if page is None:
            continue
        _refuse_empty(page, start, until)
        new = _take_in(page["data"], at)
        found += new
        finished = not page["has_more"]
        _remember(sweep, page, until, new_total=before + found, finished=finished, at=at)
        if time.monotonic() > stop_at:
            break
    _log(found, start, until, finished=finished)
    return found


def _page(start: datetime, until: datetime, sweep: EventSweep) -> gateway.Object | None:
    """The next page; None when the place in it is too old for Stripe, to begin the window anew."""
    place = {"starting_after": sweep.cursor} if sweep.cursor else {}
    try:
        return gateway.read(
            "/v1/events", limit=gateway.PAGE_SIZE, **_between(start, until), **place
        )
    except (gateway.StripeMissing, gateway.StripeRefused):
        if not sweep.cursor:
            raise
        sweep.cursor = ""
        return None


def _refuse_empty(page: gateway.Object, start: datetime, until: datetime) -> None:
    """An empty list of a time of which we have events is no list to go by."""
    known = InboxEvent.objects.filter(
        received_at__gte=start, stripe_created_at__gt=start, stripe_created_at__lt=until
    )
    if not page["data"] and not page["has_more"] and known.exists():
        raise gateway.StripeUnavailable("Stripe's list of events lacks those that it sent us.")


def _remember(
    sweep: EventSweep,
    page: gateway.Object,
    until: datetime,
    *,
    new_total: int,
    finished: bool,
    at: datetime,
) -> None:
    sweep.taken_in, sweep.swept_at = new_total, at
    if finished:
        sweep.read_until = max(sweep.read_until, until)
        sweep.window_until, sweep.cursor = None, ""
    else:
        sweep.window_until, sweep.cursor = until, page["data"][-1]["id"]
    sweep.save(update_fields=["taken_in", "swept_at", "read_until", "window_until", "cursor"])


def _take_in(listed: Iterable[gateway.Object], at: datetime) -> int:
    """Keep what we lack of one page, the oldest first."""
    page = list(listed)
    rows = InboxEvent.objects.filter(event_id__in=[event["id"] for event in page])
    known = set(rows.values_list("event_id", flat=True))
    missing = [event for event in reversed(page) if event["id"] not in known]
    with transaction.atomic():
        for event in missing:
            keep(event=event, at=at, delivered=False)
    return len(missing)


def _between(start: datetime, until: datetime) -> dict[str, Any]:
    return {"created": {"gte": int(start.timestamp()), "lte": int(until.timestamp())}}


def _log(found: int, start: datetime, until: datetime, *, finished: bool) -> None:
    logger.log(
        logging.WARNING if found else logging.INFO,
        "sweep.events",
        extra={
            "missing": found,
            "since": start.isoformat(),
            "until": until.isoformat(),
            "finished": finished,
        },
    )
