"""Invoice items that wait for the customer's next invoice, and how they become lines of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine.lines import invoice_item_parent, line
from sandbox.shapes import copy
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def lines_kept_for(sandbox: Sandbox, subscription: Object) -> list[Object]:
    """What waits for the subscription's next invoice."""
    customer, currency = subscription["customer"], subscription["currency"]
    return pending_lines(sandbox, customer, subscription["id"], currency)


def pending_lines(
    sandbox: Sandbox, customer: str, subscription: str | None, currency: str
) -> list[Object]:
    """A line for each invoice item that waits for the customer's next invoice."""
    return [
        item_line(item)
        for item in sandbox.store.all("invoiceitem")
        if item["customer"] == customer
        and item["invoice"] is None
        and item["currency"] == currency
        and _belongs_to(item) in (None, subscription)
    ]


def _belongs_to(item: Object) -> str | None:
    of = (item["parent"] or {}).get("subscription_details") or {}
    return of.get("subscription")


def item_line(item: Object) -> Object:
    price = ((item["pricing"] or {}).get("price_details") or {}).get("price")
    made = line(
        amount=item["amount"],
        currency=item["currency"],
        description=item["description"],
        period=(item["period"]["start"], item["period"]["end"]),
        quantity=item["quantity"],
        parent=invoice_item_parent(item),
        tax_rates=item["tax_rates"],
    )
    made["pricing"] = copy(item["pricing"]) if price else None
    made["discountable"] = item["discountable"]
    made["metadata"] = dict(item["metadata"] or {})
    made["_item"] = item["id"]
    return made


def claim_items(sandbox: Sandbox, invoice: Object) -> None:
    """The invoice items that became lines wait no longer."""
    for one in invoice["lines"]["data"]:
        id = one.pop("_item", None)
        if id:
            sandbox.store.get("invoiceitem", id)["invoice"] = invoice["id"]
