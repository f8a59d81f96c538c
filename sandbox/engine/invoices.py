"""Invoices: assembled as drafts, finalized, paid, voided."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox.engine import payments, pending, tax
from sandbox.engine.lines import words_for
from sandbox.engine.prices import cost
from sandbox.engine.totals import write_lines
from sandbox.engine.usage import is_metered, used
from sandbox.errors import StripeError, invalid
from sandbox.shapes import blank, copy, fill, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

COPIED_FROM_CUSTOMER = ("email", "name", "phone", "address", "shipping", "tax_exempt")

# Called with (sandbox, invoice, outcome); outcome is paid, failed, challenge or voided.
on_outcome: list[Callable[[Sandbox, Object, str], None]] = []


def assemble_invoice(
    sandbox: Sandbox,
    *,
    customer: Object,
    lines: list[Object],
    currency: str,
    reason: str,
    at: int,
    subscription: Object | None = None,
    discounts: list[str] | None = None,
    tax_rates: list[Object] | None = None,
    **values: Any,
) -> Object:
    """A draft with its sums; nothing is stored, so previews use it as well."""
    invoice = blank("invoice")
    merge_metadata(invoice, values.pop("metadata", None))
    invoice["metadata"] = invoice["metadata"] or {}
    invoice.update(
        id=new_id("invoice"),
        account_country="US",
        account_name="Latchkey sandbox (not Stripe)",
        auto_advance=values.pop("auto_advance", True),
        billing_reason=reason,
        created=at,
        currency=currency,
        customer=customer["id"],
        default_tax_rates=tax_rates or [],
        discounts=list(discounts or []),
        period_start=at,
        period_end=at,
        status="draft",
        test_clock=customer["test_clock"],
        **{f"customer_{name}": customer[name] for name in COPIED_FROM_CUSTOMER},
        customer_tax_ids=tax.shown_ids(sandbox, customer["id"]),
    )
    if subscription:
        _take_from_subscription(invoice, subscription)
    invoice.update({name: value for name, value in values.items() if value is not None})
    write_lines(sandbox, invoice, lines)
    return invoice


def assemble_for(
    sandbox: Sandbox, subscription: Object, *, lines: list[Object], reason: str, at: int
) -> Object:
    """A draft for a subscription, to its customer and in its currency; nothing is stored."""
    return assemble_invoice(
        sandbox,
        customer=sandbox.store.get("customer", subscription["customer"]),
        lines=lines,
        currency=subscription["currency"],
        reason=reason,
        at=at,
        subscription=subscription,
    )


def _take_from_subscription(invoice: Object, subscription: Object) -> None:
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    invoice["parent"] = {
        "quote_details": None,
        "subscription_details": details,
        "type": "subscription_details",
    }
    invoice["collection_method"] = subscription["collection_method"]
    invoice["discounts"] = list(subscription["discounts"])
    invoice["default_tax_rates"] = copy(subscription["default_tax_rates"] or [])
    if subscription["automatic_tax"]["enabled"]:
        invoice["automatic_tax"].update(enabled=True)
    if subscription["days_until_due"] is not None:
        invoice["due_date"] = invoice["created"] + subscription["days_until_due"] * 86_400


def store_draft(sandbox: Sandbox, invoice: Object) -> Object:
    """Keep the draft, claim the items on it, and tell of it."""
    pending.claim_items(sandbox, invoice)
    sandbox.store.put(invoice)
    for one in invoice["lines"]["data"]:
        sandbox.store.put(one)
    sandbox.emit("invoice.created", invoice)
    return invoice


def finalize_invoice(sandbox: Sandbox, invoice: Object) -> Object:
    """From draft to open, with its number, pages and payment; to paid if nothing is due."""
    if invoice["status"] != "draft":
        raise invalid(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
        )
    _count_again(sandbox, invoice)
    customer = sandbox.store.get("customer", invoice["customer"])
    _tax_again(sandbox, invoice, customer)
    now, page = sandbox.now(invoice), f"{sandbox.public_url}/pages/invoices/{invoice['id']}"
    number = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = number + 1
    invoice.update(
        number=f"{customer['invoice_prefix']}-{number:04d}",
        status="open",
        effective_at=now,
        hosted_invoice_url=page,
        invoice_pdf=f"{page}.pdf",
        automatically_finalizes_at=None,
    )
    invoice["status_transitions"]["finalized_at"] = now
    _use_balance(sandbox, invoice, customer)
    if invoice["amount_due"]:
        _ask_for_payment(sandbox, invoice)
    sandbox.emit("invoice.finalized", invoice)
    if not invoice["amount_due"]:
        mark_paid(sandbox, invoice)
    elif invoice["collection_method"] == "send_invoice":
        sandbox.emit("invoice.sent", invoice)
    return invoice


def _tax_again(sandbox: Sandbox, invoice: Object, customer: Object) -> None:
    """The rates are those of the place where the customer is by now; without one it stays a
    draft, and Stripe tells of that.
    """
    if not invoice["automatic_tax"]["enabled"]:
        return
    for name in COPIED_FROM_CUSTOMER:
        invoice[f"customer_{name}"] = copy(customer[name])
    write_lines(sandbox, invoice, invoice["lines"]["data"])
    if invoice["automatic_tax"]["status"] == tax.COMPLETE:
        invoice["last_finalization_error"] = None
        return
    refusal = tax.invalid_location()
    filled = fill("invoice", {"last_finalization_error": refusal.error})
    problem = filled["last_finalization_error"]
    invoice.update(last_finalization_error=problem, auto_advance=False)
    sandbox.emit("invoice.finalization_failed", invoice)
    raise refusal


def _count_again(sandbox: Sandbox, invoice: Object) -> None:
    """Usage of the period that was told while the invoice was a draft is still billed."""
    if invoice["billing_reason"] != "subscription_cycle":
        return
    lines, changed = invoice["lines"]["data"], False
    for one in lines:
        price = sandbox.store.find(_price_of(one))
        if price is None or not is_metered(price):
            continue
        period = (one["period"]["start"], one["period"]["end"])
        quantity = used(sandbox, price, invoice["customer"], period)
        if quantity != one["quantity"] and not one["description"].startswith("Trial"):
            words = words_for(sandbox, price, quantity)
            amount = cost(sandbox, price, quantity)
            one.update(quantity=quantity, quantity_decimal=str(quantity), description=words)
            one.update(amount=amount, subtotal=amount, discountable=amount > 0)
            changed = True
    if changed:
        write_lines(sandbox, invoice, lines)


def _price_of(one: Object) -> str | None:
    found: str | None = ((one["pricing"] or {}).get("price_details") or {}).get("price")
    return found


def _use_balance(sandbox: Sandbox, invoice: Object, customer: Object) -> None:
    """Credit of earlier invoices pays first; what is less than asked for, or more, is carried."""
    before = customer["balance"] or 0
    after = invoice["total"] + before - invoice["amount_due"]
    invoice["ending_balance"] = after
    if after != before:
        with sandbox.changing(customer):
            customer["balance"] = after


def _ask_for_payment(sandbox: Sandbox, invoice: Object) -> None:
    intent = payments.create_intent(
        sandbox,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        description=f"Payment for Invoice {invoice['number']}",
        setup_future_usage="off_session" if subscription_of(invoice) else None,
    )
    payment = blank("invoice_payment")
    payment.update(
        id=new_id("invoice_payment"),
        amount_requested=invoice["amount_due"],
        created=sandbox.now(invoice),
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=True,
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status="open",
    )
    sandbox.store.put(payment)
    sandbox.store.hide(invoice["id"], payment=payment["id"], intent=intent["id"])
    sandbox.store.hide(intent["id"], invoice=invoice["id"])


def subscription_of(invoice: Object) -> str | None:
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return details.get("subscription")


def intent_of(sandbox: Sandbox, invoice: Object) -> Object | None:
    return sandbox.store.find(sandbox.store.secret(invoice["id"], "intent"))


def card_for(sandbox: Sandbox, invoice: Object) -> str | None:
    """The invoice's own card, else the subscription's, else the customer's."""
    subscription = sandbox.store.find(subscription_of(invoice)) or {}
    customer = sandbox.store.get("customer", invoice["customer"])
    return (
        invoice["default_payment_method"]
        or subscription.get("default_payment_method")
        or customer["invoice_settings"]["default_payment_method"]
    )


def pay_invoice(
    sandbox: Sandbox,
    invoice: Object,
    *,
    payment_method: str | None = None,
    off_session: bool = True,
) -> str:
    """Charge the card that applies; gives paid, failed or challenge and tells who listens."""
    _check_payable(invoice)
    card = payment_method or card_for(sandbox, invoice)
    intent = intent_of(sandbox, invoice)
    assert intent is not None
    invoice["attempted"] = True
    invoice["attempt_count"] += 1
    invoice["next_payment_attempt"] = None
    if card is None:
        return _failed(sandbox, invoice, "failed")
    outcome = payments.confirm_intent(sandbox, intent, payment_method=card, off_session=off_session)
    if outcome == "succeeds":
        return "paid"
    return _failed(sandbox, invoice, "challenge" if outcome == "challenge" else "failed")


def _check_payable(invoice: Object) -> None:
    if invoice["status"] == "paid":
        raise StripeError(400, "Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"This invoice is {invoice['status']}: it can not be paid.")


def _failed(sandbox: Sandbox, invoice: Object, outcome: str) -> str:
    invoice["next_payment_attempt"] = sandbox.store.secret(invoice["id"], "retry")
    sandbox.emit("invoice.payment_failed", invoice)
    if outcome == "challenge":
        sandbox.emit("invoice.payment_action_required", invoice)
    for listener in on_outcome:
        listener(sandbox, invoice, outcome)
    return outcome


def mark_paid(sandbox: Sandbox, invoice: Object) -> Object:
    now = sandbox.now(invoice)
    invoice.update(
        status="paid",
        attempted=True,
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        next_payment_attempt=None,
        auto_advance=False,
    )
    invoice["status_transitions"]["paid_at"] = now
    payment = sandbox.store.find(sandbox.store.secret(invoice["id"], "payment"))
    if payment:
        payment.update(status="paid", amount_paid=invoice["amount_due"])
        payment["status_transitions"]["paid_at"] = now
        sandbox.emit("invoice_payment.paid", payment)
    sandbox.emit("invoice.paid", invoice)
    sandbox.emit("invoice.payment_succeeded", invoice)
    for listener in on_outcome:
        listener(sandbox, invoice, "paid")
    return invoice


def pay_when_intent_succeeds(sandbox: Sandbox, intent: Object) -> None:
    invoice = sandbox.store.find(sandbox.store.secret(intent["id"], "invoice"))
    if invoice and invoice["status"] != "paid":
        mark_paid(sandbox, invoice)


payments.on_succeeded.append(pay_when_intent_succeeds)


def void_invoice(sandbox: Sandbox, invoice: Object) -> Object:
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"You can only pass in open invoices; this one is {invoice['status']}.")
    _close(sandbox, invoice, "void")
    invoice["status_transitions"]["voided_at"] = sandbox.now(invoice)
    sandbox.emit("invoice.voided", invoice)
    for listener in on_outcome:
        listener(sandbox, invoice, "voided")
    return invoice


def mark_uncollectible(sandbox: Sandbox, invoice: Object) -> Object:
    if invoice["status"] != "open":
        raise invalid(f"Only open invoices can be uncollectible; this is {invoice['status']}.")
    invoice.update(status="uncollectible", auto_advance=False, next_payment_attempt=None)
    invoice["status_transitions"]["marked_uncollectible_at"] = sandbox.now(invoice)
    sandbox.emit("invoice.marked_uncollectible", invoice)
    return invoice


def _close(sandbox: Sandbox, invoice: Object, status: str) -> None:
    invoice.update(status=status, auto_advance=False, next_payment_attempt=None)
    intent = intent_of(sandbox, invoice)
    if intent and intent["status"] in payments.CANCELABLE:
        payments.cancel_intent(sandbox, intent, "void_invoice")
