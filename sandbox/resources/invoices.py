"""Invoices, their lines, payments and items."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox import generic
from sandbox.engine import invoices, payments, pending, renewals
from sandbox.engine.discounts import make_discounts
from sandbox.engine.lines import words_for
from sandbox.engine.previews import preview_invoice
from sandbox.engine.prices import cost, make_price
from sandbox.errors import StripeError, invalid
from sandbox.lists import matching, paginate
from sandbox.registry import Call, expands, on
from sandbox.shapes import fill, merge_metadata
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

TAKEN = (
    "description", "footer", "custom_fields", "statement_descriptor", "auto_advance",
    "collection_method", "due_date", "payment_settings", "default_payment_method",
)  # fmt: skip


@on("POST /v1/invoices")
def create_invoice(call: Call) -> Object:
    customer = call.given("customer", "customer")
    if customer is None:
        raise invalid("Missing required param: customer.", param="customer")
    subscription = call.given("subscription", "subscription")
    currency = call.params.get("currency") or customer["currency"] or "usd"
    at = call.sandbox.now(customer)
    lines = []
    if call.params.get("pending_invoice_items_behavior") == "include" or subscription:
        of = subscription["id"] if subscription else None
        lines = pending.pending_lines(call.sandbox, customer["id"], of, currency)
    wanted = call.params.get("discounts")
    values = {name: call.params[name] for name in TAKEN if name in call.params}
    values.setdefault("auto_advance", False)
    if call.params.get("days_until_due") is not None:
        values["due_date"] = at + call.params["days_until_due"] * 86_400
    invoice = invoices.assemble_invoice(
        call.sandbox,
        customer=customer,
        lines=lines,
        currency=currency,
        reason="manual",
        at=at,
        subscription=subscription,
        automatic_tax=_automatic(call),
        discounts=make_discounts(
            call.sandbox, wanted, customer=customer["id"], subscription=None, at=at
        ),
        tax_rates=_usable_rates(call, call.params.get("default_tax_rates")),
        metadata=call.params.get("metadata"),
        **values,
    )
    if invoice["auto_advance"]:
        invoice["automatically_finalizes_at"] = at + call.sandbox.settings.draft_seconds
    invoices.store_draft(call.sandbox, invoice)
    return invoice


def _automatic(call: Call) -> Object | None:
    given = call.params.get("automatic_tax")
    return fill("invoice", {"automatic_tax": given})["automatic_tax"] if given else None


@on("POST /v1/invoices/{id}")
def update_invoice(call: Call) -> Object:
    return generic.update(call, "invoice")


@on("DELETE /v1/invoices/{id}")
def delete_invoice(call: Call) -> Object:
    invoice = call.store.get("invoice", call.id)
    if invoice["status"] != "draft":
        raise invalid("You can only delete draft invoices.", code="invoice_not_editable")
    for item in call.store.all("invoiceitem"):
        if item["invoice"] == invoice["id"]:
            item["invoice"] = None
    return generic.delete(call, "invoice")


@on("GET /v1/invoices")
def list_invoices(call: Call) -> Object:
    subscription = call.params.pop("subscription", None)
    found = matching(call.store.newest_first("invoice"), call.params)
    if subscription:
        found = [i for i in found if invoices.subscription_of(i) == subscription]
    return paginate(found, call.params, url=call.path)


@on("POST /v1/invoices/create_preview")
def create_preview(call: Call) -> Object:
    return preview_invoice(call.sandbox, call.params)


@on("POST /v1/invoices/{id}/finalize")
def finalize(call: Call) -> Object:
    invoice = call.store.get("invoice", call.id)
    if "auto_advance" in call.params:
        invoice["auto_advance"] = call.params["auto_advance"]
    invoices.finalize_invoice(call.sandbox, invoice)
    by_card = invoice["collection_method"] == "charge_automatically"
    is_collected = invoice["status"] == "open" and invoice["auto_advance"] and by_card
    if is_collected and invoices.card_for(call.sandbox, invoice):
        renewals.attempt(call.sandbox, invoice, call.sandbox.now(invoice))
    return invoice


@on("POST /v1/invoices/{id}/pay")
def pay(call: Call) -> Object:
    invoice = call.store.get("invoice", call.id)
    if invoice["status"] == "draft":
        invoices.finalize_invoice(call.sandbox, invoice)
        if invoice["status"] == "paid":
            return invoice
    if call.params.get("paid_out_of_band"):
        return _paid_elsewhere(call, invoice)
    card = call.params.get("payment_method")
    if invoice["status"] == "open" and not (card or invoices.card_for(call.sandbox, invoice)):
        message = "There is no `default_payment_method` set on this Customer or Invoice. Please "
        message += "set either an Invoice or Customer `default_payment_method`."
        raise invalid(message, code="missing")
    outcome = invoices.pay_invoice(
        call.sandbox,
        invoice,
        payment_method=card,
        off_session=call.params.get("off_session", True),
    )
    _raise_if_unpaid(call, invoice, outcome)
    return invoice


def _paid_elsewhere(call: Call, invoice: Object) -> Object:
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"This invoice is {invoice['status']}: it can not be paid.")
    intent = invoices.intent_of(call.sandbox, invoice)
    invoices.mark_paid(call.sandbox, invoice)
    invoice["amount_paid_off_stripe"] = invoice["amount_due"]
    if intent and intent["status"] in payments.CANCELABLE:
        payments.cancel_intent(call.sandbox, intent)
    return invoice


def _raise_if_unpaid(call: Call, invoice: Object, outcome: str) -> None:
    intent = invoices.intent_of(call.sandbox, invoice)
    if outcome == "failed" and intent:
        raise payments.decline_of(call.sandbox, intent)
    if outcome == "challenge":
        message = "This payment requires additional user action before it can be completed."
        code = "invoice_payment_intent_requires_action"
        raise StripeError(400, message, code=code, payment_intent=intent)


@on("POST /v1/invoices/{id}/void")
def void(call: Call) -> Object:
    return invoices.void_invoice(call.sandbox, call.store.get("invoice", call.id))


@on("POST /v1/invoices/{id}/mark_uncollectible")
def mark_uncollectible(call: Call) -> Object:
    return invoices.mark_uncollectible(call.sandbox, call.store.get("invoice", call.id))


@on("POST /v1/invoices/{id}/send")
def send(call: Call) -> Object:
    invoice = call.store.get("invoice", call.id)
    if invoice["status"] == "draft":
        return invoices.finalize_invoice(call.sandbox, invoice)
    call.sandbox.emit("invoice.sent", invoice)
    return invoice


@on("POST /v1/invoices/{id}/add_lines")
def add_lines(call: Call) -> Object:
    invoice = call.store.get("invoice", call.id)
    whose = {"invoice": invoice["id"], "customer": invoice["customer"]}
    items = [_new_item(replace(call, params={**line, **whose})) for line in call.params["lines"]]
    _put_on(call, invoice, items)
    with call.sandbox.changing(invoice):
        merge_metadata(invoice, call.params.get("invoice_metadata"))
    return invoice


@on("GET /v1/invoices/{id}/lines")
def list_lines(call: Call) -> Object:
    invoice = call.store.get("invoice", call.id, param="invoice")
    return paginate(invoice["lines"]["data"], call.params, url=call.path)


@on("GET /v1/invoice_payments")
def list_payments(call: Call) -> Object:
    of = call.params.pop("payment", None) or {}
    found = matching(call.store.newest_first("invoice_payment"), call.params)
    if of.get("payment_intent"):
        wanted = of["payment_intent"]
        found = [p for p in found if p["payment"]["payment_intent"] == wanted]
    return paginate(found, call.params, url=call.path)


@expands("invoice", "payments")
def payments_of(sandbox: Sandbox, invoice: Object) -> Object:
    held = [
        payment
        for payment in sandbox.store.newest_first("invoice_payment")
        if payment["invoice"] == invoice["id"]
    ]
    return paginate(held, {}, url=f"/v1/invoices/{invoice['id']}/payments")


@expands("invoice", "confirmation_secret")
def confirmation_secret(sandbox: Sandbox, invoice: Object) -> Object | None:
    intent = invoices.intent_of(sandbox, invoice)
    return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None


@on("POST /v1/invoiceitems")
def create_item(call: Call) -> Object:
    item = _new_item(call)
    invoice = call.given("invoice", "invoice")
    if invoice:
        _put_on(call, invoice, [item])
    return item


def _put_on(call: Call, invoice: Object, items: list[Object]) -> None:
    made = [pending.item_line(item) for item in items]
    invoices.write_lines(call.sandbox, invoice, [*invoice["lines"]["data"], *made])
    pending.claim_items(call.sandbox, invoice)
    for line in made:
        call.store.put(line)


def _new_item(call: Call) -> Object:
    customer = call.given("customer", "customer")
    invoice = call.given("invoice", "invoice")
    if customer is None:
        raise invalid("Missing required param: customer.", param="customer")
    if invoice and invoice["status"] != "draft":
        raise invalid("Only a draft invoice can take new items.", code="invoice_not_editable")
    now = call.sandbox.now(customer)
    item = generic.new(call.sandbox, "invoiceitem", call.params)
    period = call.params.get("period") or {"start": now, "end": now}
    item.update(date=now, period=period, tax_rates=[], discounts=[], **_price(call))
    item["discountable"] = call.params.get("discountable", True)
    item["tax_rates"] = _usable_rates(call, call.params.get("tax_rates"))
    call.store.put(item)
    call.sandbox.emit("invoiceitem.created", item)
    return item


def _usable_rates(call: Call, ids: list[str] | None) -> list[Object]:
    """Archived rates stay on what has them and come upon nothing new."""
    rates = [call.store.get("tax_rate", id, status=400) for id in ids or []]
    for rate in rates:
        if not rate["active"]:
            raise invalid(f"The tax rate {rate['id']} is inactive.", param="tax_rates")
    return rates


def _price(call: Call) -> Object:
    """Amount, currency and pricing from `pricing[price]`, `price_data` or a bare amount."""
    quantity = call.params.get("quantity", 1)
    id = (call.params.get("pricing") or {}).get("price")
    data = call.params.get("price_data")
    if not id and not data:
        amount = call.params.get("amount", call.params.get("unit_amount_decimal"))
        if amount is None:
            raise invalid("Missing required param: amount.", param="amount")
        return {
            "amount": int(amount),
            "currency": call.params.get("currency", "usd"),
            "quantity": quantity,
            "quantity_decimal": str(quantity),
        }
    price = make_price(call.sandbox, data) if data else call.store.get("price", str(id), status=400)
    return {
        "amount": cost(call.sandbox, price, quantity),
        "currency": price["currency"],
        "description": call.params.get("description") or words_for(call.sandbox, price, quantity),
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": quantity,
        "quantity_decimal": str(quantity),
    }


@on("DELETE /v1/invoiceitems/{id}")
def delete_item(call: Call) -> Object:
    item = call.store.get("invoiceitem", call.id)
    if item["invoice"]:
        raise invalid("This invoice item is on an invoice already: it cannot be deleted.")
    return generic.delete(call, "invoiceitem")
