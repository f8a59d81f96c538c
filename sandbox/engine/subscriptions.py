"""Subscriptions: created, canceled, and moved by what happens to their invoices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.engine import cards, invoices, pending, setups, tax
from sandbox.engine.discounts import Sold, count_redeemed, drop_used, make_discounts
from sandbox.engine.entitlements import refresh_entitlements
from sandbox.engine.items import check_together, items_of, make_item, next_end, set_period
from sandbox.engine.lines import cycle_line, line, words_for
from sandbox.engine.prices import cost
from sandbox.engine.usage import is_metered
from sandbox.errors import StripeError, invalid
from sandbox.shapes import fill, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

DAY = 86_400
LIVE = {"active", "trialing", "past_due", "unpaid", "paused", "incomplete"}
# Taken over from the parameters as they are; everything else has a rule below.
PLAIN = (
    "description", "collection_method", "days_until_due", "payment_settings", "cancel_at",
    "cancel_at_period_end", "automatic_tax", "trial_settings", "application_fee_percent",
    "default_payment_method", "on_behalf_of", "transfer_data", "invoice_settings",
)  # fmt: skip


def create_subscription(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    """`given` are the parameters of POST /v1/subscriptions. Emits all that Stripe emits."""
    customer = sandbox.store.get("customer", given["customer"], param="customer", status=400)
    at = sandbox.now(customer)
    if (given.get("automatic_tax") or {}).get("enabled"):
        tax.require_location(sandbox, customer)
    subscription = _new(sandbox, given, customer, at)
    invoice = _first_invoice(sandbox, subscription, given, at)
    _check_can_pay(sandbox, subscription, customer, invoice, given)
    count_redeemed(sandbox, subscription["discounts"])
    _store(sandbox, subscription)
    customer["currency"] = subscription["currency"]
    subscription["latest_invoice"] = invoice["id"]
    _first_status(sandbox, subscription, invoice)
    sandbox.emit("customer.subscription.created", subscription)
    _tell_of_short_trial(sandbox, subscription, at)
    invoices.store_draft(sandbox, invoice)
    if subscription["status"] != "trialing":
        drop_used(sandbox, subscription, at=at)
    _collect_first(sandbox, subscription, invoice, given)
    refresh_entitlements(sandbox, customer["id"])
    return subscription


def _new(sandbox: Sandbox, given: dict[str, Any], customer: Object, at: int) -> Object:
    plain = {name: given[name] for name in PLAIN if given.get(name) not in (None, "")}
    if plain.get("default_payment_method"):
        method = cards.payment_method(sandbox, plain["default_payment_method"])
        cards.attach(sandbox, method, customer["id"])
        plain["default_payment_method"] = method["id"]
    subscription = fill("subscription", plain)
    subscription["id"] = id = new_id("subscription")
    wanted = given.get("items") or []
    items = [
        make_item(sandbox, item, subscription=id, param=f"items[{place}]", at=at)
        for place, item in enumerate(wanted)
    ]
    check_together(items)
    check_currency(sandbox, customer, items[0]["price"]["currency"])
    url = f"/v1/subscription_items?subscription={id}"
    rates = given.get("default_tax_rates") or []
    subscription.update(
        created=at,
        start_date=given.get("backdate_start_date", at),
        currency=items[0]["price"]["currency"],
        customer=customer["id"],
        default_tax_rates=[sandbox.store.get("tax_rate", rate, status=400) for rate in rates],
        items={"object": "list", "data": items, "has_more": False, "url": url},
        test_clock=customer["test_clock"],
    )
    _write_defaults(subscription)
    merge_metadata(subscription, given.get("metadata"))
    subscription["discounts"] = make_discounts(
        sandbox,
        given.get("discounts"),
        customer=customer["id"],
        subscription=id,
        at=at,
        sold=Sold.of(items),
        counts=False,
    )
    _set_trial_and_period(subscription, given, at)
    _set_cancellation(subscription, at)
    return subscription


def _write_defaults(subscription: Object) -> None:
    subscription["cancellation_details"] = {"comment": None, "feedback": None, "reason": None}
    subscription["trial_settings"] = subscription["trial_settings"] or {
        "end_behavior": {"missing_payment_method": "create_invoice"}
    }


def check_currency(sandbox: Sandbox, customer: Object, currency: str) -> None:
    """One customer has one currency, for as long as something runs in it."""
    for other in sandbox.store.all("subscription"):
        runs = other["customer"] == customer["id"] and other["status"] in LIVE
        if runs and other["currency"] != currency:
            message = "You cannot combine currencies on a single customer. This customer has an "
            message += "active subscription, subscription schedule, discount, quote, or invoice "
            raise invalid(message + f"item with currency {other['currency']}.")


def _set_trial_and_period(subscription: Object, given: dict[str, Any], at: int) -> None:
    items = items_of(subscription)
    trial_end = trial_end_of(given, items, at)
    anchor = given.get("billing_cycle_anchor") or trial_end or at
    if trial_end:
        subscription.update(trial_start=at, trial_end=trial_end)
    subscription["billing_cycle_anchor"] = anchor
    end = anchor if anchor > at else next_end(items, at, anchor=anchor)
    set_period(items, at, trial_end or end)


def trial_end_of(given: dict[str, Any], items: list[Object], at: int) -> int | None:
    end, days = given.get("trial_end"), given.get("trial_period_days")
    if end == "now":
        return None
    if end is not None and end != "":
        if end <= at:
            message = "Invalid timestamp: must be an integer Unix timestamp in the future."
            raise invalid(message, param="trial_end")
        return int(end)
    if days is None and given.get("trial_from_plan"):
        days = items[0]["price"]["recurring"]["trial_period_days"]
    return at + days * DAY if days else None


def _set_cancellation(subscription: Object, at: int) -> None:
    if subscription["cancel_at_period_end"]:
        subscription.update(
            cancel_at=items_of(subscription)[0]["current_period_end"], canceled_at=at
        )
        subscription["cancellation_details"]["reason"] = "cancellation_requested"


def cycle_lines(
    sandbox: Sandbox,
    subscription: Object,
    *,
    is_trial: bool,
    arrears: tuple[int, int] | None = None,
) -> list[Object]:
    """Each item for the present period; metered ones for `arrears`, the one that ended."""
    return [
        cycle_line(
            sandbox,
            subscription,
            item,
            (item["current_period_start"], item["current_period_end"]),
            # What was used in a trial that has just ended costs nothing; licences begin now.
            is_trial=is_trial and not (arrears and not is_metered(item["price"])),
            arrears=arrears,
        )
        for item in items_of(subscription)
    ]


def usage_lines(
    sandbox: Sandbox, subscription: Object, arrears: tuple[int, int], *, is_trial: bool
) -> list[Object]:
    """The metered items alone, for a subscription that ends."""
    return [
        cycle_line(sandbox, subscription, item, arrears, is_trial=is_trial, arrears=arrears)
        for item in items_of(subscription)
        if is_metered(item["price"])
    ]


def _first_invoice(
    sandbox: Sandbox, subscription: Object, given: dict[str, Any], at: int
) -> Object:
    lines = cycle_lines(sandbox, subscription, is_trial=bool(subscription["trial_end"]))
    lines += pending.lines_kept_for(sandbox, subscription)
    for extra in given.get("add_invoice_items") or []:
        price = sandbox.store.get("price", extra.get("price", ""), param="price", status=400)
        count = extra.get("quantity", 1)
        amount, words = cost(sandbox, price, count), words_for(sandbox, price, count)
        lines.append(
            line(
                amount=amount,
                currency=price["currency"],
                description=words,
                period=(at, at),
                price=price,
                quantity=count,
                parent=None,
            )
        )
    return invoices.assemble_for(
        sandbox, subscription, lines=lines, reason="subscription_create", at=at
    )


def _check_can_pay(
    sandbox: Sandbox,
    subscription: Object,
    customer: Object,
    invoice: Object,
    given: dict[str, Any],
) -> None:
    """Refuse, before anything is stored, what Stripe refuses without a subscription."""
    behaviour = given.get("payment_behavior", "allow_incomplete")
    by_card = subscription["collection_method"] == "charge_automatically"
    if not by_card and subscription["days_until_due"] is None:
        message = "You must pass `days_until_due` with collection_method=send_invoice."
        raise invalid(message, param="days_until_due")
    if not by_card or not invoice["amount_due"] or behaviour == "default_incomplete":
        return
    settings = customer["invoice_settings"]
    card = subscription["default_payment_method"] or settings["default_payment_method"]
    if card is None:
        message = "This customer has no attached payment source or default payment method. "
        message += "Please consider adding a default payment method."
        raise invalid(message, code="resource_missing")
    if behaviour == "error_if_incomplete":
        refuse_bad_card(sandbox, card, off_session=bool(given.get("off_session")))


def refuse_bad_card(sandbox: Sandbox, card: str, *, off_session: bool) -> None:
    method = cards.payment_method(sandbox, card)
    outcome, code, decline_code = cards.verdict(sandbox, method, off_session=off_session)
    if outcome == "challenge":
        message = "Payment for this subscription requires additional user action."
        raise StripeError(
            402, message, code="subscription_payment_intent_requires_action", type="card_error"
        )
    if outcome == "declined":
        raise cards.refusal(str(code), decline_code)


def _store(sandbox: Sandbox, subscription: Object) -> None:
    sandbox.store.put(subscription)
    for item in items_of(subscription):
        sandbox.store.put(item)


def _first_status(sandbox: Sandbox, subscription: Object, invoice: Object) -> None:
    by_card = subscription["collection_method"] == "charge_automatically"
    if subscription["trial_end"]:
        subscription["status"] = "trialing"
    elif by_card and invoice["amount_due"]:
        subscription["status"] = "incomplete"
    else:
        subscription["status"] = "active"


def _tell_of_short_trial(sandbox: Sandbox, subscription: Object, at: int) -> None:
    end = subscription["trial_end"]
    if end and end - at <= 3 * DAY:
        sandbox.store.hide(subscription["id"], trial_told=True)
        sandbox.emit("customer.subscription.trial_will_end", subscription)


def _collect_first(
    sandbox: Sandbox, subscription: Object, invoice: Object, given: dict[str, Any]
) -> None:
    invoices.finalize_invoice(sandbox, invoice)
    if given.get("payment_behavior") == "default_incomplete":
        if subscription["status"] == "trialing" and not invoices.card_for(sandbox, invoice):
            wanted = {"customer": subscription["customer"], "usage": "off_session"}
            setup = setups.create_setup(sandbox, wanted)
            subscription["pending_setup_intent"] = setup["id"]
        return
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        off_session = bool(given.get("off_session"))
        invoices.pay_invoice(sandbox, invoice, off_session=off_session)


def cancel_subscription(
    sandbox: Sandbox,
    subscription: Object,
    *,
    at: int,
    reason: str = "cancellation_requested",
    details: dict[str, Any] | None = None,
) -> Object:
    """End it now; its open first invoice is voided with it."""
    if subscription["status"] in ("canceled", "incomplete_expired"):
        raise invalid(f"No such subscription: '{subscription['id']}'", code="resource_missing")
    latest = sandbox.store.find(subscription["latest_invoice"])
    if subscription["status"] == "incomplete" and latest and latest["status"] == "open":
        sandbox.store.hide(subscription["id"], is_ending=True)
        invoices.void_invoice(sandbox, latest)
    subscription.update(
        status="canceled",
        canceled_at=subscription["canceled_at"] or at,
        ended_at=at,
        pause_collection=None,
    )
    subscription["cancellation_details"].update(details or {}, reason=reason)
    _stop_collecting(sandbox, subscription)
    sandbox.emit("customer.subscription.deleted", subscription)
    refresh_entitlements(sandbox, subscription["customer"])
    return subscription


def _stop_collecting(sandbox: Sandbox, subscription: Object) -> None:
    """Stripe stops collecting by itself, but leaves open invoices payable."""
    for invoice in sandbox.store.all("invoice"):
        if invoices.subscription_of(invoice) == subscription["id"]:
            invoice["next_payment_attempt"] = None
            if invoice["status"] in ("draft", "open"):
                invoice.update(auto_advance=False, automatically_finalizes_at=None)


def follow_invoice(sandbox: Sandbox, invoice: Object, outcome: str) -> None:
    """What the fate of its invoice does to a subscription."""
    subscription = sandbox.store.find(invoices.subscription_of(invoice))
    if subscription is None or subscription["status"] not in LIVE:
        return
    is_latest = subscription["latest_invoice"] == invoice["id"]
    with sandbox.changing(subscription):
        if outcome == "paid":
            _after_payment(sandbox, subscription, invoice, is_latest=is_latest)
        elif outcome in ("failed", "challenge") and is_latest:
            if subscription["status"] == "active":
                subscription["status"] = "past_due"
        elif outcome == "voided" and _expires(sandbox, subscription):
            subscription.update(status="incomplete_expired", ended_at=sandbox.now(invoice))
    refresh_entitlements(sandbox, subscription["customer"])


def _expires(sandbox: Sandbox, subscription: Object) -> bool:
    is_ending = sandbox.store.secret(subscription["id"], "is_ending", False)
    return subscription["status"] == "incomplete" and not is_ending


def _after_payment(
    sandbox: Sandbox, subscription: Object, invoice: Object, *, is_latest: bool
) -> None:
    if is_latest and subscription["status"] in ("incomplete", "past_due", "unpaid"):
        subscription["status"] = "active"
    intent = invoices.intent_of(sandbox, invoice)
    is_first = invoice["billing_reason"] == "subscription_create"
    if is_first and intent and not subscription["default_payment_method"]:
        settings = subscription["payment_settings"] or {}
        if settings.get("save_default_payment_method") == "on_subscription":
            subscription["default_payment_method"] = intent["payment_method"]


invoices.on_outcome.append(follow_invoice)
