"""Why something differs, as far as Stripe's events and our inbox tell; in words."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from billing.gateway import PAGE_SIZE
from billing.models import InboxEvent, InboxState
from billing.reconciliation.kinds import OWN, Difference, DriftKind
from billing.reconciliation.pace import Pace
from billing.reconciliation.trust import SETTLING
from billing.shapes import Object, instant, ref

STRIPE_KEEPS = timedelta(days=30)
MOST_PAGES = 50
TYPES = [
    "customer.created",
    "customer.updated",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "charge.succeeded",
    "charge.failed",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.closed",
    "refund.created",
    "refund.updated",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.updated",
    "invoice.voided",
]  # Stripe takes at most 20

OWN_CAUSES: dict[str, str] = {
    DriftKind.LEDGER_DIFFERS: "What refunds hold was not counted anew: a fault of ours, or "
    "somebody wrote to the table by hand.",
    DriftKind.MIRROR_DIFFERS: "The mirror was not written with the projection: dj-stripe could "
    "not take the object, or somebody wrote to the table by hand.",
    DriftKind.GRANT_MISSING_OR_EXTRA: "The sale is as Stripe says, the grant does not follow it: "
    "a fault of ours, or somebody wrote to the table by hand.",
    DriftKind.GRANT_WINDOW_DIFFERS: "The grant does not end as the sale says: a fault of ours, "
    "or the project's grace days were changed since the last sync.",
    DriftKind.KEY_MISSING: "The sale is open and gave no key: a fault of ours, or the plan "
    "gives keys only since it was changed.",
    DriftKind.KEY_STATE_DIFFERS: "The key does not follow the sale: a fault of ours, or somebody "
    "wrote to the table by hand.",
    DriftKind.KEY_LIMIT_DIFFERS: "The plan's limit was changed and the key was not told.",
    DriftKind.ANSWER_STALE: "Grants or plans were changed without making the answer anew.",
}


@dataclass
class Told:
    """Stripe's events by the object that they are about, newest first."""

    at: datetime
    since: datetime
    events: dict[str, list[tuple[str, str, datetime]]] = field(default_factory=dict)

    def about(self, difference: Difference) -> list[tuple[str, str, datetime]]:
        return self.events.get(difference.object_id, [])


def read_events(*, pace: Pace, at: datetime) -> Told:
    """The newest events, at most MOST_PAGES pages of what Stripe keeps."""
    told = Told(at=at, since=at - STRIPE_KEEPS)
    params: dict[str, object] = {"types": TYPES, "created": {"gte": int(told.since.timestamp())}}
    for _ in range(MOST_PAGES):
        page = pace.read("/v1/events", limit=PAGE_SIZE, **params)
        for event in page["data"]:
            _file(told, event)
        if not page["has_more"]:
            return told
        params["starting_after"] = page["data"][-1]["id"]
    told.since = instant(page["data"][-1]["created"])
    return told


def _file(told: Told, event: Object) -> None:
    inner = event["data"]["object"]
    entry = (event["id"], event["type"], instant(event["created"]))
    for object_id in {inner.get("id", ""), ref(inner.get("charge"))} - {""}:
        told.events.setdefault(object_id, []).append(entry)


def is_on_its_way(difference: Difference, told: Told, listed_at: datetime) -> bool:
    """Whether Stripe told of a change so lately that we may only not have heard of it yet."""
    if difference.kind in OWN:
        return False
    return any(made_at > listed_at - SETTLING for _, _, made_at in told.about(difference))


def causes_of(found: Iterable[Difference], told: Told) -> dict[tuple[str, str, str], str]:
    """Our guess for each difference."""
    found = list(found)
    events = {event[0] for each in found for event in told.about(each)}
    ours = InboxEvent.objects.filter(event_id__in=events).defer("payload")
    inbox = {event.event_id: event for event in ours}
    return {each.key: _cause(each, told, inbox) for each in found}


def _cause(difference: Difference, told: Told, inbox: dict[str, InboxEvent]) -> str:
    if difference.kind in OWN:
        return OWN_CAUSES[difference.kind]
    if difference.kind == DriftKind.SUBSCRIPTION_NOT_AT_STRIPE:
        return "Stripe, asked for it by its id, does not have it: test data was deleted."
    about = told.about(difference)
    for event_id, kind, made_at in about:
        if event_id not in inbox:
            when = f"{made_at:%Y-%m-%d %H:%M} UTC"
            return f"Missed event: Stripe told of it by {kind} at {when} ({event_id})."
    for event_id, kind, _ in about:
        if inbox[event_id].state == InboxState.PARKED:
            return f"The event {kind} ({event_id}) is parked: {inbox[event_id].last_error}"
        if inbox[event_id].state == InboxState.PENDING:
            return f"The event {kind} ({event_id}) still waits in the inbox."
    if about:
        return (
            f"A fault of ours, or somebody wrote to the table by hand: every event about it was "
            f"worked off, the last one ({about[0][0]}) too."
        )
    days = (told.at - told.since).days
    return (
        f"Stripe has no event about it of the last {days} days: it was edited at Stripe before "
        "that, or somebody wrote to our table by hand."
    )
