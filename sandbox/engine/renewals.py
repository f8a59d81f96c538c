"""What time does by itself: trials end, periods renew, drafts are collected, debts expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine import invoices, pending
from sandbox.engine.discounts import drop_ended, drop_used
from sandbox.engine.entitlements import refresh_entitlements
from sandbox.engine.items import items_of, next_end, period_of, set_period
from sandbox.engine.subscriptions import DAY, cancel_subscription, cycle_lines, usage_lines
from sandbox.errors import StripeError
from sandbox.registry import Due, timer
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

INCOMPLETE_SECONDS = 23 * 3600
RENEWING = {"active", "trialing", "past_due", "unpaid"}


@timer
def subscription_work(sandbox: Sandbox, test_clock: str | None) -> Due:
    for subscription in sandbox.store.all("subscription"):
        if subscription["test_clock"] != test_clock:
            continue
        if subscription["status"] == "incomplete":
            yield from _unpaid_work(sandbox, subscription)
        if subscription["status"] in RENEWING:
            yield from _running_work(sandbox, subscription)


def _unpaid_work(sandbox: Sandbox, subscription: Object) -> Due:
    due = subscription["created"] + INCOMPLETE_SECONDS
    yield due, lambda at: expire(sandbox, subscription)


def _running_work(sandbox: Sandbox, subscription: Object) -> Due:
    end = period_of(subscription)[1]
    ends_at = subscription["cancel_at"]
    told = sandbox.store.secret(subscription["id"], "trial_told")
    if subscription["status"] == "trialing" and not told:
        yield subscription["trial_end"] - 3 * DAY, lambda at: tell_of_trial(sandbox, subscription)
    if ends_at is not None and ends_at <= end:
        yield ends_at, lambda at: _end(sandbox, subscription, at)
    else:
        yield end, lambda at: renew(sandbox, subscription, at)
    pause = subscription["pause_collection"]
    if pause and pause["resumes_at"]:
        yield pause["resumes_at"], lambda at: _resume(sandbox, subscription)


def expire(sandbox: Sandbox, subscription: Object) -> None:
    """Nobody paid the first invoice within 23 hours."""
    invoice = sandbox.store.get("invoice", subscription["latest_invoice"])
    invoices.void_invoice(sandbox, invoice)


def tell_of_trial(sandbox: Sandbox, subscription: Object) -> None:
    sandbox.store.hide(subscription["id"], trial_told=True)
    sandbox.emit("customer.subscription.trial_will_end", subscription)


def _end(sandbox: Sandbox, subscription: Object, at: int) -> None:
    """What was used up to the end is billed an hour later, as at a renewal."""
    was_trial = subscription["status"] == "trialing"
    start = period_of(subscription)[0]
    cancel_subscription(sandbox, subscription, at=at)
    lines = usage_lines(sandbox, subscription, (start, at), is_trial=was_trial)
    if not lines:
        return
    invoice = invoices.assemble_for(
        sandbox, subscription, lines=lines, reason="subscription_cycle", at=at
    )
    subscription["latest_invoice"] = invoice["id"]
    invoice["automatically_finalizes_at"] = at + sandbox.settings.draft_seconds
    invoices.store_draft(sandbox, invoice)


def _resume(sandbox: Sandbox, subscription: Object) -> None:
    with sandbox.changing(subscription):
        subscription["pause_collection"] = None


def renew(sandbox: Sandbox, subscription: Object, at: int) -> None:
    """Begin the next period and draft its invoice, which is collected an hour later."""
    was_trial = subscription["status"] == "trialing"
    if was_trial and _ends_without_card(sandbox, subscription, at):
        return
    arrears, items = period_of(subscription), items_of(subscription)
    start = arrears[1]
    drop_ended(sandbox, subscription, at=start)
    with sandbox.changing(subscription):
        set_period(
            items, start, next_end(items, start, anchor=subscription["billing_cycle_anchor"])
        )
        if was_trial:
            subscription["status"] = "active"
        lines = cycle_lines(sandbox, subscription, is_trial=was_trial, arrears=arrears)
        lines += pending.lines_kept_for(sandbox, subscription)
        invoice = invoices.assemble_for(
            sandbox, subscription, lines=lines, reason="subscription_cycle", at=at
        )
        subscription["latest_invoice"] = invoice["id"]
        drop_used(sandbox, subscription, at=start)
    _set_collection(sandbox, subscription, invoice, at)
    invoices.store_draft(sandbox, invoice)
    refresh_entitlements(sandbox, subscription["customer"])


def _ends_without_card(sandbox: Sandbox, subscription: Object, at: int) -> bool:
    """What trial_settings say of a trial whose customer never gave a card."""
    customer = sandbox.store.get("customer", subscription["customer"])
    held = customer["invoice_settings"]["default_payment_method"]
    then = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if subscription["default_payment_method"] or held or then == "create_invoice":
        return False
    if then == "cancel":
        cancel_subscription(sandbox, subscription, at=at)
        return True
    with sandbox.changing(subscription):
        subscription["status"] = "paused"
    sandbox.emit("customer.subscription.paused", subscription)
    refresh_entitlements(sandbox, subscription["customer"])
    return True


def _set_collection(sandbox: Sandbox, subscription: Object, invoice: Object, at: int) -> None:
    pause = subscription["pause_collection"]
    if subscription["status"] == "unpaid" or (pause and pause["behavior"] == "keep_as_draft"):
        invoice["auto_advance"] = False
        return
    invoice["automatically_finalizes_at"] = at + sandbox.settings.draft_seconds
    if pause:
        sandbox.store.hide(invoice["id"], paused_as=pause["behavior"])


@timer
def invoice_work(sandbox: Sandbox, test_clock: str | None) -> Due:
    for invoice in sandbox.store.all("invoice"):
        if invoice["test_clock"] == test_clock and invoice["auto_advance"]:
            yield from _collection_work(sandbox, invoice)


def _collection_work(sandbox: Sandbox, invoice: Object) -> Due:
    if invoice["status"] == "draft" and invoice["automatically_finalizes_at"]:
        yield invoice["automatically_finalizes_at"], lambda at: collect(sandbox, invoice, at)
    elif invoice["status"] == "open" and invoice["next_payment_attempt"]:
        yield invoice["next_payment_attempt"], lambda at: attempt(sandbox, invoice, at)


def collect(sandbox: Sandbox, invoice: Object, at: int) -> None:
    """Finalize the draft, and charge the card if that is how it is paid."""
    try:
        invoices.finalize_invoice(sandbox, invoice)
    except StripeError:  # told by its event: the invoice stays a draft
        return
    paused_as = sandbox.store.secret(invoice["id"], "paused_as")
    if invoice["status"] != "open":
        return
    if paused_as == "void":
        invoices.void_invoice(sandbox, invoice)
    elif paused_as == "mark_uncollectible":
        invoices.mark_uncollectible(sandbox, invoice)
    elif invoice["collection_method"] == "charge_automatically":
        attempt(sandbox, invoice, at)


def attempt(sandbox: Sandbox, invoice: Object, at: int) -> None:
    """Try the card; after a failure plan the next try, after the last do as the settings say."""
    tries = invoice["attempt_count"]
    days = sandbox.settings.retry_days
    sandbox.store.hide(invoice["id"], retry=at + days[tries] * DAY if tries < len(days) else None)
    if invoices.pay_invoice(sandbox, invoice) == "paid" or tries < len(days):
        return
    subscription = sandbox.store.find(invoices.subscription_of(invoice))
    if subscription is None or subscription["status"] == "canceled":
        return
    if sandbox.settings.after_retries == "cancel":
        cancel_subscription(sandbox, subscription, at=at, reason="payment_failed")
    elif sandbox.settings.after_retries == "unpaid":
        with sandbox.changing(subscription):
            subscription["status"] = "unpaid"
        refresh_entitlements(sandbox, subscription["customer"])
