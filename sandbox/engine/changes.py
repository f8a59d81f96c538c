"""Changing a subscription: items with proration, trial, anchor, cancellation, pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine import cards, invoices, pending, tax
from sandbox.engine.discounts import Sold, make_discounts, refuse_unfit
from sandbox.engine.entitlements import refresh_entitlements
from sandbox.engine.items import (
    changed_items,
    items_of,
    next_end,
    period_of,
    proration_lines,
    same_interval,
    set_period,
)
from sandbox.engine.subscriptions import cycle_lines, refuse_bad_card, usage_lines
from sandbox.errors import invalid
from sandbox.shapes import blank, copy, merge_metadata, take
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

PLAIN = (
    "description", "collection_method", "days_until_due", "payment_settings",
    "automatic_tax", "trial_settings", "invoice_settings", "application_fee_percent",
)  # fmt: skip


def update_subscription(sandbox: Sandbox, subscription: Object, given: dict[str, Any]) -> Object:
    """`given` are the parameters of POST /v1/subscriptions/{id}."""
    at = sandbox.now(subscription)
    if subscription["status"] in ("canceled", "incomplete_expired"):
        only = set(given) - {"metadata", "cancellation_details"}
        if only:
            message = "A canceled subscription can only update its cancellation_details and "
            raise invalid(message + "metadata.")
    if (given.get("automatic_tax") or {}).get("enabled"):
        tax.require_location(sandbox, sandbox.store.get("customer", subscription["customer"]))
    sold = Sold.of(items_of(subscription))
    refuse_unfit(sandbox, given.get("discounts"), subscription["customer"], at=at, sold=sold)
    after, lines, resets = _plan_items(sandbox, subscription, given, at)
    _refuse_unpaid_change(sandbox, subscription, given, lines, resets)
    with sandbox.changing(subscription):
        _write_plain(sandbox, subscription, given, at)
        _write_cancellation(subscription, given, at)
        _write_pause(subscription, given)
        if after is not None:
            _write_items(sandbox, subscription, after, at=at, resets=resets)
        ends_trial = _write_trial(subscription, given, at)
    _bill(sandbox, subscription, given, lines, at=at, is_new_period=resets or ends_trial)
    refresh_entitlements(sandbox, subscription["customer"])
    return subscription


def _plan_items(
    sandbox: Sandbox, subscription: Object, given: dict[str, Any], at: int
) -> tuple[list[Object] | None, list[Object], bool]:
    """(items after the change or None, proration lines, does a new period begin now?)"""
    resets = given.get("billing_cycle_anchor") == "now"
    if "items" not in given and not resets:
        return None, [], False
    before = items_of(subscription)
    after = changed_items(sandbox, subscription, given.get("items") or [], at=at)
    resets = resets or not same_interval(before, after)
    is_free = subscription["status"] == "trialing"
    used: list[Object] = []
    if resets and not is_free:
        # The period is cut short: what was used in it is billed with the change.
        arrears = (period_of(subscription)[0], at)
        used = usage_lines(sandbox, subscription, arrears, is_trial=False)
    if is_free or given.get("proration_behavior") == "none":
        return after, used, resets and not is_free
    when = given.get("proration_date", at)
    off = (subscription["discounts"], given.get("discounts"))
    lines = proration_lines(sandbox, before, after, at=when, credit_only=resets, discounts=off)
    return after, used + lines, resets


def _refuse_unpaid_change(
    sandbox: Sandbox,
    subscription: Object,
    given: dict[str, Any],
    lines: list[Object],
    resets: bool,
) -> None:
    behaviour = given.get("payment_behavior")
    if behaviour == "pending_if_incomplete":
        message = "The sandbox does not do payment_behavior=pending_if_incomplete: use "
        raise invalid(
            message + "error_if_incomplete or allow_incomplete.", param="payment_behavior"
        )
    is_billed = resets or given.get("proration_behavior") == "always_invoice"
    if behaviour != "error_if_incomplete" or not is_billed:
        return
    if not resets and sum(one["amount"] for one in lines) <= 0:
        return
    customer = sandbox.store.get("customer", subscription["customer"])
    settings = customer["invoice_settings"]
    card = subscription["default_payment_method"] or settings["default_payment_method"]
    if card is None and subscription["collection_method"] == "charge_automatically":
        message = "This customer has no attached payment source or default payment method. "
        message += "Please consider adding a default payment method."
        raise invalid(message, code="resource_missing")
    if card:
        refuse_bad_card(sandbox, card, off_session=bool(given.get("off_session")))


def _write_plain(sandbox: Sandbox, subscription: Object, given: dict[str, Any], at: int) -> None:
    take(subscription, "subscription", {n: given[n] for n in PLAIN if n in given})
    merge_metadata(subscription, given.get("metadata"))
    if "default_payment_method" in given:
        named = given["default_payment_method"]
        method = cards.payment_method(sandbox, named) if named else None
        if method:
            cards.attach(sandbox, method, subscription["customer"])
        subscription["default_payment_method"] = method["id"] if method else None
    if "default_tax_rates" in given:
        rates = given["default_tax_rates"] or []
        subscription["default_tax_rates"] = [
            sandbox.store.get("tax_rate", id, status=400) for id in rates
        ]
    if "discounts" in given:
        subscription["discounts"] = make_discounts(
            sandbox,
            given["discounts"],
            customer=subscription["customer"],
            subscription=subscription["id"],
            at=at,
            sold=Sold.of(items_of(subscription)),
        )
    if given.get("cancellation_details"):
        subscription["cancellation_details"].update(given["cancellation_details"])


def _write_cancellation(subscription: Object, given: dict[str, Any], at: int) -> None:
    details = subscription["cancellation_details"]
    if "cancel_at" in given:
        ends = given["cancel_at"] or None
        ends = period_of(subscription)[1] if isinstance(ends, str) else ends
        subscription.update(cancel_at=ends, canceled_at=at if ends else None)
        details["reason"] = "cancellation_requested" if ends else None
    if "cancel_at_period_end" not in given:
        return
    ends_then = given["cancel_at_period_end"]
    if ends_then == subscription["cancel_at_period_end"]:
        return
    subscription.update(
        cancel_at_period_end=ends_then,
        cancel_at=period_of(subscription)[1] if ends_then else None,
        canceled_at=at if ends_then else None,
    )
    details["reason"] = "cancellation_requested" if ends_then else None


def _write_pause(subscription: Object, given: dict[str, Any]) -> None:
    if "pause_collection" not in given:
        return
    pause = given["pause_collection"]
    subscription["pause_collection"] = {"resumes_at": None, **pause} if pause else None


def _write_items(
    sandbox: Sandbox, subscription: Object, after: list[Object], *, at: int, resets: bool
) -> None:
    kept = {item["id"] for item in after}
    for item in items_of(subscription):
        if item["id"] not in kept:
            sandbox.store.remove(item)
    if resets:
        subscription["billing_cycle_anchor"] = at
        set_period(after, at, next_end(after, at, anchor=at))
    for item in after:
        sandbox.store.put(item)
    subscription["items"]["data"] = after


def _write_trial(subscription: Object, given: dict[str, Any], at: int) -> bool:
    """True when a trial ends by this and a paid period begins."""
    wanted = given.get("trial_end")
    if wanted is None or wanted == "":
        return False
    items = items_of(subscription)
    if wanted == "now":
        if subscription["status"] != "trialing":
            return False
        subscription.update(status="active", trial_end=at, billing_cycle_anchor=at)
        set_period(items, at, next_end(items, at, anchor=at))
        return True
    subscription.update(status="trialing", trial_end=wanted, billing_cycle_anchor=wanted)
    subscription["trial_start"] = subscription["trial_start"] or at
    set_period(items, items[0]["current_period_start"], wanted)
    return False


def _bill(
    sandbox: Sandbox,
    subscription: Object,
    given: dict[str, Any],
    lines: list[Object],
    *,
    at: int,
    is_new_period: bool,
) -> None:
    """Invoice at once where a period begins or the caller asks; else keep for the next one."""
    at_once = given.get("proration_behavior") == "always_invoice" and lines
    if not is_new_period and not at_once:
        for one in lines:
            keep_for_next_invoice(sandbox, subscription, one, at)
        return
    if is_new_period:
        lines = lines + cycle_lines(sandbox, subscription, is_trial=False)
    lines = lines + pending.lines_kept_for(sandbox, subscription)
    invoice = invoices.assemble_for(
        sandbox, subscription, lines=lines, reason="subscription_update", at=at
    )
    subscription["latest_invoice"] = invoice["id"]
    invoices.store_draft(sandbox, invoice)
    invoices.finalize_invoice(sandbox, invoice)
    by_card = invoice["collection_method"] == "charge_automatically"
    waits = given.get("payment_behavior") == "default_incomplete"
    if invoice["status"] == "open" and by_card and not waits:
        invoices.pay_invoice(sandbox, invoice, off_session=bool(given.get("off_session")))


def keep_for_next_invoice(sandbox: Sandbox, subscription: Object, one: Object, at: int) -> Object:
    """A proration waits as an invoice item."""
    item = blank("invoiceitem")
    of = one["parent"]["subscription_item_details"]
    details = {"subscription": of["subscription"], "subscription_item": of["subscription_item"]}
    item.update(
        id=new_id("invoiceitem"),
        amount=one["amount"],
        currency=one["currency"],
        customer=subscription["customer"],
        date=at,
        description=one["description"],
        discountable=False,
        discounts=[],
        metadata={},
        parent={"subscription_details": details, "type": "subscription_details"},
        period=copy(one["period"]),
        pricing=copy(one["pricing"]),
        proration=True,
        quantity=one["quantity"],
        quantity_decimal=str(one["quantity"]),
        tax_rates=one["_tax_rates"],
    )
    sandbox.store.put(item)
    sandbox.emit("invoiceitem.created", item)
    return item
