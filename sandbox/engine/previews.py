"""What an invoice would be: nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine import invoices, pending
from sandbox.engine.discounts import Sold, drop_ended, make_discounts
from sandbox.engine.items import (
    changed_items,
    check_together,
    items_of,
    make_item,
    next_end,
    proration_lines,
    same_interval,
    set_period,
)
from sandbox.engine.lines import line
from sandbox.engine.subscriptions import cycle_lines, trial_end_of
from sandbox.errors import invalid
from sandbox.shapes import blank, copy
from sandbox.store import Object, random_text

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def preview_invoice(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    """`given` are the parameters of POST /v1/invoices/create_preview."""
    details = given.get("subscription_details") or {}
    subscription = None
    if given.get("subscription"):
        subscription = sandbox.store.get(
            "subscription", given["subscription"], param="subscription", status=400
        )
    id = subscription["customer"] if subscription else given.get("customer")
    if not id:
        raise invalid("You must pass `customer` or `subscription`.", param="customer")
    customer = sandbox.store.get("customer", id, param="customer", status=400)
    at = sandbox.now(customer)
    wished = given.get("discounts")
    if subscription:
        copied, lines = _of_change(sandbox, copy(subscription), details, at, wished)
    else:
        copied, lines = _of_new(sandbox, customer, details, at)
    made = _discounts(sandbox, copied, wished, at)
    if given.get("automatic_tax"):
        copied["automatic_tax"]["enabled"] = given["automatic_tax"]["enabled"]
    currency = copied["currency"]
    lines += pending.pending_lines(sandbox, customer["id"], given.get("subscription"), currency)
    lines += [_extra(item, currency, at) for item in given.get("invoice_items") or []]
    invoice = invoices.assemble_invoice(
        sandbox,
        customer=customer,
        lines=lines,
        currency=currency,
        reason="upcoming",
        at=at,
        subscription=copied,
    )
    for one in lines:
        one.pop("_item", None)
    for id in made:
        sandbox.store.remove(sandbox.store.get("discount", id))
    invoice["id"] = f"upcoming_in_{random_text(24)}"
    return invoice


def _discounts(sandbox: Sandbox, copied: Object, wished: Any, at: int) -> list[str]:
    """Those of the preview, written on the copy; gives the ids that were made only for it."""
    if wished is None:
        return []
    kept = [wish["discount"] for wish in wished or [] if wish.get("discount")]
    copied["discounts"] = make_discounts(
        sandbox,
        wished,
        customer=copied["customer"],
        subscription=None,
        at=at,
        sold=Sold.of(items_of(copied)),
        counts=False,
    )
    return [id for id in copied["discounts"] if id not in kept]


def _of_change(
    sandbox: Sandbox, subscription: Object, details: dict[str, Any], at: int, wished: Any
) -> tuple[Object, list[Object]]:
    """The proration alone when it is invoiced at once, else the next renewal with it."""
    before = items_of(subscription)
    after = changed_items(sandbox, subscription, details.get("items") or [], at=at)
    behaviour = details.get("proration_behavior", "create_prorations")
    resets = details.get("billing_cycle_anchor") == "now" or not same_interval(before, after)
    lines: list[Object] = []
    if behaviour != "none" and subscription["status"] != "trialing":
        when = details.get("proration_date", at)
        off = (subscription["discounts"], wished)
        lines = proration_lines(sandbox, before, after, at=when, credit_only=resets, discounts=off)
    subscription["items"]["data"] = after
    if behaviour == "always_invoice" and not resets and details.get("items"):
        return subscription, lines
    arrears = (before[0]["current_period_start"], at if resets else before[0]["current_period_end"])
    start = arrears[1]
    anchor = at if resets else subscription["billing_cycle_anchor"]
    set_period(after, start, next_end(after, start, anchor=anchor))
    drop_ended(sandbox, subscription, at=start)
    was_trial = subscription["status"] == "trialing"
    return subscription, lines + cycle_lines(
        sandbox, subscription, is_trial=was_trial, arrears=arrears
    )


def _of_new(
    sandbox: Sandbox, customer: Object, details: dict[str, Any], at: int
) -> tuple[Object, list[Object]]:
    subscription = blank("subscription")
    subscription["customer"] = customer["id"]
    items = [
        make_item(sandbox, item, subscription="", param=f"items[{place}]", at=at)
        for place, item in enumerate(details.get("items") or [])
    ]
    check_together(items)
    trial_end = trial_end_of(details, items, at)
    set_period(items, at, trial_end or next_end(items, at, anchor=at))
    subscription["items"]["data"] = items
    subscription["currency"] = items[0]["price"]["currency"]
    return subscription, cycle_lines(sandbox, subscription, is_trial=bool(trial_end))


def _extra(item: dict[str, Any], currency: str, at: int) -> Object:
    return line(
        amount=item.get("amount", 0),
        currency=item.get("currency", currency),
        description=item.get("description"),
        period=(at, at),
    )
