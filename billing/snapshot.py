"""Everything that Stripe says about one customer at one moment, read outside any transaction."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from billing import gateway
from billing.gateway import Object
from billing.shapes import discounts_of, ref

RENEWING = ("active", "trialing", "past_due")
Touched = tuple[str, str]  # (Stripe's object type, id) as an event names it

PATHS = {
    "checkout.session": "/v1/checkout/sessions/{}",
    "payment_intent": "/v1/payment_intents/{}",
    "charge": "/v1/charges/{}",
    "refund": "/v1/refunds/{}",
    "dispute": "/v1/disputes/{}",
    "credit_note": "/v1/credit_notes/{}",
    "invoice": "/v1/invoices/{}",
    "payment_method": "/v1/payment_methods/{}",
    "setup_intent": "/v1/setup_intents/{}",
    "subscription": "/v1/subscriptions/{}",
    "product": "/v1/products/{}",
    "price": "/v1/prices/{}",
}
# What the projections read of an object and Stripe tells only when asked.
EXPANDED: dict[str, dict[str, Any]] = {
    "invoice": {"expand": ["payments"]},
    "charge": {"expand": ["balance_transaction"]},
    "subscription": {"expand": ["discounts"]},
}

UNPAID = frozenset({"past_due", "unpaid"})


@dataclass
class Snapshot:
    """Objects by id, and the ids that Stripe does not have (any more)."""

    customer: Object
    objects: dict[str, Object] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    # All lines of the invoices that have more of them than they carry themselves.
    lines: dict[str, list[Object]] = field(default_factory=dict)
    # Coupons and promotion codes of the discounts that hold; those deleted at Stripe are absent.
    offers: dict[str, Object] = field(default_factory=dict)
    # Previews of the next invoice, by subscription, where its prices do not say it.
    upcoming: dict[str, Object] = field(default_factory=dict)

    def of(self, kind: str) -> list[Object]:
        return [found for found in self.objects.values() if found["object"] == kind]

    def add(self, found: Object) -> None:
        self.objects[found["id"]] = found


def read_object(kind: str, stripe_id: str) -> Object:
    """One object as it is now, in the form that the projections read."""
    return gateway.read(PATHS[kind].format(stripe_id), **EXPANDED.get(kind, {}))


def take(
    *,
    stripe_customer_id: str,
    touched: Iterable[Touched],
    known_subscription_ids: Iterable[str],
    known_refunded_ids: Iterable[str],
    full: bool,
) -> Snapshot:
    """Read the customer, all its subscriptions, and what they and `touched` lead to.

    `full` reads its whole history instead of what is touched. Subscriptions that we know and the
    list lacks are asked for one by one: a short list never ends anybody's access. Charges of
    `known_refunded_ids` are asked for their refunds also when Stripe counts none any more.
    """
    snapshot = Snapshot(customer=gateway.read(f"/v1/customers/{stripe_customer_id}"))
    if not snapshot.customer.get("deleted"):
        _add_lists(snapshot, stripe_customer_id, full=full)
    known = set(known_subscription_ids)
    for subscription_id in sorted(known):
        _add(snapshot, "subscription", subscription_id)
    for subscription in snapshot.of("subscription"):
        # Of an unpaid one also when nobody told of its invoice: reminders are about that.
        if subscription["id"] not in known or subscription["status"] in UNPAID:
            _add(snapshot, "invoice", ref(subscription["latest_invoice"]))
    for kind, stripe_id in touched:
        if kind in PATHS:
            _add(snapshot, kind, stripe_id)
    _follow(snapshot, set(known_refunded_ids))
    for subscription in snapshot.of("subscription"):
        _look_ahead(snapshot, subscription)
    return snapshot


def _look_ahead(snapshot: Snapshot, subscription: Object) -> None:
    """What discounts and taxes make of the next invoice, asked of Stripe where there are any."""
    discounts = discounts_of(subscription)
    for one in discounts:
        _add_offer(snapshot, f"/v1/coupons/{ref(one['source']['coupon'])}")
        if one["promotion_code"]:
            _add_offer(snapshot, f"/v1/promotion_codes/{ref(one['promotion_code'])}")
    renews = subscription["status"] in RENEWING and subscription["cancel_at"] is None
    if not renews or subscription["pause_collection"] is not None:
        return
    if not discounts and not subscription["automatic_tax"]["enabled"]:
        return
    wish = {"subscription": subscription["id"]}
    with suppress(gateway.StripeRefused):  # it cannot be told
        found = gateway.ask("/v1/invoices/create_preview", wish)
        snapshot.upcoming[subscription["id"]] = found


def _add_offer(snapshot: Snapshot, path: str) -> None:
    if path.rpartition("/")[2] in snapshot.offers:
        return
    with suppress(gateway.StripeMissing):
        found = gateway.read(path)
        snapshot.offers[found["id"]] = found


def _add_lists(snapshot: Snapshot, stripe_customer_id: str, *, full: bool) -> None:
    lists: list[tuple[str, dict[str, Any]]] = [
        ("/v1/subscriptions", {"status": "all", "expand": ["data.discounts"]})
    ]
    if full:
        lists += [
            ("/v1/checkout/sessions", {}),
            ("/v1/payment_intents", {}),
            ("/v1/charges", {"expand": ["data.balance_transaction"]}),
            ("/v1/invoices", {"expand": ["data.payments"]}),
            ("/v1/credit_notes", {}),
        ]
    for path, params in lists:
        for found in gateway.read_all(path, customer=stripe_customer_id, **params):
            snapshot.add(found)


def _add(snapshot: Snapshot, kind: str, stripe_id: str) -> None:
    if not stripe_id or stripe_id in snapshot.objects or stripe_id in snapshot.gone:
        return
    try:
        found = read_object(kind, stripe_id)
    except gateway.StripeMissing:
        snapshot.gone.append(stripe_id)
        return
    if kind == "invoice" and found.get("deleted"):  # a draft, taken back
        snapshot.gone.append(stripe_id)
        return
    snapshot.add(found)


def _follow(snapshot: Snapshot, refunded_ids: set[str]) -> None:
    """From what was read to the money behind it: sessions and refunds lead to their charge."""
    for session in snapshot.of("checkout.session"):
        _add(snapshot, "payment_intent", ref(session.get("payment_intent")))
        _add(snapshot, "invoice", ref(session.get("invoice")))
    for refund in [*snapshot.of("refund"), *snapshot.of("dispute")]:
        _add(snapshot, "charge", ref(refund["charge"]))
    for note in snapshot.of("credit_note"):
        _add(snapshot, "invoice", ref(note["invoice"]))
    for invoice in snapshot.of("invoice"):
        if (invoice.get("lines") or {}).get("has_more"):
            path = f"/v1/invoices/{invoice['id']}/lines"
            snapshot.lines[invoice["id"]] = gateway.read_all(path)
        for paid in (invoice.get("payments") or {}).get("data", []):
            _add(snapshot, "payment_intent", ref(paid["payment"].get("payment_intent")))
    for intent in snapshot.of("payment_intent"):
        _add(snapshot, "charge", ref(intent["latest_charge"]))
    for charge in snapshot.of("charge"):
        if charge["amount_refunded"] or charge["id"] in refunded_ids:
            for found in gateway.read_all("/v1/refunds", charge=charge["id"]):
                snapshot.add(found)
        if charge["disputed"]:
            for found in gateway.read_all("/v1/disputes", charge=charge["id"]):
                snapshot.add(found)
