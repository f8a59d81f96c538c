"""What must be true here, from Stripe's objects alone. Shares no code with what it checks.

Pure: dicts as Stripe holds them, the catalogue, what staff gave, and the instant.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

GRACE = timedelta(days=7)
OVER = ("canceled", "incomplete_expired")
LOST_REFUND = ("failed", "canceled")


@dataclass(frozen=True)
class Sold:
    """What one price of the catalogue opens."""

    plan: str
    features: frozenset[str]
    limit_per_minute: int | None
    monthly_minor: int


@dataclass
class Given:
    """A feature that staff gave one user."""

    user: str
    feature: str
    start: datetime
    end: datetime | None
    taken_back: bool = False


@dataclass
class Picture:
    """Everything that is compared, the same for what is and for what must be."""

    subscriptions: dict[str, tuple] = field(default_factory=dict)
    invoices: dict[str, tuple] = field(default_factory=dict)
    payments: dict[str, tuple] = field(default_factory=dict)
    refunds: dict[str, tuple] = field(default_factory=dict)
    purchases: dict[str, str] = field(default_factory=dict)
    windows: dict[tuple[str, str], tuple] = field(default_factory=dict)  # (source, plan)
    working_keys: dict[str, tuple] = field(default_factory=dict)  # by source: whose, limit, plan
    dead_keys: set[str] = field(default_factory=set)  # sources whose key may never work again
    features: dict[str, set[str]] = field(default_factory=dict)
    inbox: dict[str, str] = field(default_factory=dict)  # state of each event of Stripe's


def expected(
    stripe: Callable[[str], Iterable[dict]],
    *,
    catalogue: dict[str, Sold],
    users: Iterable[str],
    given: Iterable[Given],
    at: datetime,
) -> Picture:
    """`stripe(kind)` gives the objects of one kind."""
    picture = Picture(features={user: set() for user in users})
    buyers = _buyers(stripe)
    for found in stripe("subscription"):
        _subscription(picture, found, buyers[found["customer"]], catalogue, at)
    for found in stripe("invoice"):
        picture.invoices[found["id"]] = (found["status"], found["total"], found["amount_paid"])
    returned = _returned(stripe)
    for found in stripe("charge"):
        captured = found["amount_captured"] if found["status"] == "succeeded" else 0
        picture.payments[found["id"]] = (found["status"], captured, returned.get(found["id"], 0))
    for found in stripe("refund"):
        picture.refunds[found["id"]] = (found["charge"], found["status"], found["amount"])
    prices = {one["metadata"]["plan"]: price for price, one in _prices(catalogue).items()}
    for found in stripe("checkout.session"):
        if found["mode"] == "payment" and found["payment_status"] == "paid":
            price = prices[found["metadata"]["plan"]]
            _purchase(picture, found, buyers[found["customer"]], catalogue[price], returned, stripe)
    for one in given:
        if not one.taken_back and one.start <= at < (one.end or datetime.max.replace(tzinfo=UTC)):
            picture.features[one.user].add(one.feature)
    return picture


def _prices(catalogue: dict[str, Sold]) -> dict[str, dict]:
    return {price: {"metadata": {"plan": sold.plan}} for price, sold in catalogue.items()}


def _buyers(stripe: Callable[[str], Iterable[dict]]) -> dict[str, str]:
    """Customer to user, from the events too: a deleted customer no longer says whose it was."""
    made = [event["data"]["object"] for event in stripe("event")]
    made = [found for found in made if found["object"] == "customer"]
    return {found["id"]: found["metadata"]["latchkey_user_id"] for found in made}


def _subscription(
    picture: Picture, found: dict, user: str, catalogue: dict[str, Sold], at: datetime
) -> None:
    (item,) = found["items"]["data"]
    sold = catalogue[item["price"]["id"]]
    start, end = _instant(item["current_period_start"]), _instant(item["current_period_end"])
    stops = _instant(found["cancel_at"])
    picture.subscriptions[found["id"]] = (
        user,
        found["status"],
        sold.plan,
        sold.monthly_minor,
        (start, end),
        stops,
        _instant(found["ended_at"]),
        found["pause_collection"] is not None,
    )
    if found["status"] in OVER:
        picture.dead_keys.add(found["id"])
    lasts = {"active": end + GRACE, "trialing": end + GRACE, "past_due": start + GRACE}
    until = lasts.get(found["status"])
    if until is None:
        return
    if stops is not None and stops < until:
        until = stops
    _open(picture, found["id"], user, sold, _instant(found["start_date"]), until, at)


def _purchase(
    picture: Picture,
    session: dict,
    user: str,
    sold: Sold,
    returned: dict[str, int],
    stripe: Callable[[str], Iterable[dict]],
) -> None:
    intent = session["payment_intent"]
    paid = [charge for charge in stripe("charge") if charge["payment_intent"] == intent]
    captured = sum(charge["amount_captured"] for charge in paid if charge["status"] == "succeeded")
    back = sum(returned.get(charge["id"], 0) for charge in paid)
    state = "paid" if not back else "refunded" if back >= captured else "partly_refunded"
    picture.purchases[intent] = state
    if state != "refunded":
        start = _instant(session["created"])
        _open(picture, intent, user, sold, start, None, datetime.max.replace(tzinfo=UTC))


def _open(
    picture: Picture,
    source: str,
    user: str,
    sold: Sold,
    start: datetime,
    until: datetime | None,
    at: datetime,
) -> None:
    if until is not None and until <= start:
        return
    picture.windows[source, sold.plan] = (user, start, until)
    if until is None or at < until:
        picture.features[user] |= sold.features
        picture.working_keys[source] = (user, sold.limit_per_minute, sold.plan)


def _returned(stripe: Callable[[str], Iterable[dict]]) -> dict[str, int]:
    """Charge to what was given back of it and did not come back to us."""
    sums: dict[str, int] = {}
    for refund in stripe("refund"):
        if refund["status"] not in LOST_REFUND:
            sums[refund["charge"]] = sums.get(refund["charge"], 0) + refund["amount"]
    return sums


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
