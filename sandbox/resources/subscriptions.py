"""Subscriptions, their items, and the entitlements that they give."""

from __future__ import annotations

from sandbox.engine import invoices, pending
from sandbox.engine.changes import update_subscription
from sandbox.engine.entitlements import active_entitlements, refresh_entitlements
from sandbox.engine.items import items_of, period_of, proration_lines
from sandbox.engine.subscriptions import (
    LIVE,
    cancel_subscription,
    create_subscription,
    usage_lines,
)
from sandbox.errors import invalid
from sandbox.lists import matching, paginate
from sandbox.registry import Call, on
from sandbox.store import Object

ENDED = {"canceled", "incomplete_expired"}


@on("POST /v1/subscriptions")
def create(call: Call) -> Object:
    return create_subscription(call.sandbox, call.params)


@on("POST /v1/subscriptions/{id}")
def update(call: Call) -> Object:
    subscription = call.store.get("subscription", call.id)
    return update_subscription(call.sandbox, subscription, call.params)


@on("DELETE /v1/subscriptions/{id}")
def cancel(call: Call) -> Object:
    subscription = call.store.get("subscription", call.id)
    at = call.sandbox.now(subscription)
    if call.params.get("prorate") or call.params.get("invoice_now"):
        _last_invoice(call, subscription, at)
    details = call.params.get("cancellation_details")
    return cancel_subscription(call.sandbox, subscription, at=at, details=details)


def _last_invoice(call: Call, subscription: Object, at: int) -> None:
    """Credit for the unused time and what still waits, on one last invoice."""
    lines = []
    if call.params.get("invoice_now"):
        period = (period_of(subscription)[0], at)
        is_trial = subscription["status"] == "trialing"
        lines += usage_lines(call.sandbox, subscription, period, is_trial=is_trial)
    if call.params.get("prorate"):
        items = items_of(subscription)
        lines += proration_lines(call.sandbox, items, items, at=at, credit_only=True)
    lines += pending.lines_kept_for(call.sandbox, subscription)
    if not lines:
        return
    invoice = invoices.assemble_for(
        call.sandbox, subscription, lines=lines, reason="subscription_update", at=at
    )
    invoices.store_draft(call.sandbox, invoice)
    if call.params.get("invoice_now"):
        invoices.finalize_invoice(call.sandbox, invoice)
        if invoice["status"] == "open":
            invoices.pay_invoice(call.sandbox, invoice)


@on("POST /v1/subscriptions/{id}/resume")
def resume(call: Call) -> Object:
    subscription = call.store.get("subscription", call.id)
    if subscription["status"] != "paused":
        raise invalid("Only a paused subscription can be resumed.")
    with call.sandbox.changing(subscription):
        subscription["status"] = "trialing"
    update_subscription(call.sandbox, subscription, {"trial_end": "now"})
    call.sandbox.emit("customer.subscription.resumed", subscription)
    return subscription


@on("GET /v1/subscriptions")
def list_subscriptions(call: Call) -> Object:
    """Without a status, all that are not canceled."""
    status = call.params.pop("status", None)
    price = call.params.pop("price", None)
    found = matching(call.store.newest_first("subscription"), call.params)
    if status in (None, "ended"):
        found = [s for s in found if (s["status"] in ENDED) == (status == "ended")]
    elif status != "all":
        found = [s for s in found if s["status"] == status]
    if price:
        found = [s for s in found if any(i["price"]["id"] == price for i in items_of(s))]
    return paginate(found, call.params, url=call.path)


@on("GET /v1/subscription_items")
def list_items(call: Call) -> Object:
    subscription = call.given("subscription", "subscription")
    assert subscription is not None
    return paginate(items_of(subscription), call.params, url=call.path)


@on("POST /v1/subscription_items")
def add_item(call: Call) -> Object:
    subscription = call.given("subscription", "subscription")
    assert subscription is not None
    change, rest = _split(call)
    update_subscription(call.sandbox, subscription, {"items": [change], **rest})
    return items_of(subscription)[-1]


@on("POST /v1/subscription_items/{id}")
def update_item(call: Call) -> Object:
    item = call.store.get("subscription_item", call.id)
    change, rest = _split(call)
    subscription = call.store.get("subscription", item["subscription"])
    wanted = {"items": [{**change, "id": item["id"]}], **rest}
    update_subscription(call.sandbox, subscription, wanted)
    return call.store.get("subscription_item", call.id)


@on("DELETE /v1/subscription_items/{id}")
def remove_item(call: Call) -> Object:
    item = call.store.get("subscription_item", call.id)
    subscription = call.store.get("subscription", item["subscription"])
    wanted = {"items": [{"id": item["id"], "deleted": True}], **call.params}
    update_subscription(call.sandbox, subscription, wanted)
    return call.store.by_id[item["id"]]


def _split(call: Call) -> tuple[dict, dict]:
    billing = {"proration_behavior", "payment_behavior", "proration_date", "off_session"}
    rest = {name: value for name, value in call.params.items() if name in billing}
    own = billing | {"subscription"}
    return {n: v for n, v in call.params.items() if n not in own}, rest


@on("GET /v1/entitlements/active_entitlements")
def list_active_entitlements(call: Call) -> Object:
    customer = call.given("customer", "customer")
    assert customer is not None
    refresh_entitlements(call.sandbox, customer["id"])
    held = active_entitlements(call.sandbox, customer["id"])
    return paginate(held, call.params, url=call.path)


@on("DELETE /v1/customers/{customer}")
def delete_customer(call: Call) -> Object:
    """A deleted customer's subscriptions end with it."""
    customer = call.store.get("customer", call.id)
    for subscription in call.store.all("subscription"):
        if subscription["customer"] == customer["id"] and subscription["status"] in LIVE:
            cancel_subscription(call.sandbox, subscription, at=call.sandbox.now(customer))
    stub = call.store.remove(customer)
    call.sandbox.emit("customer.deleted", customer)
    return stub
