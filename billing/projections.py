"""From what Stripe said to our own columns. Each function writes one subject, idempotently."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Sum

from billing import access, shapes, trials
from billing.gateway import Object
from billing.ledger import recount_refunds, refund_status
from billing.models import (
    Checkout,
    CheckoutMode,
    CheckoutState,
    Invoice,
    Payment,
    Price,
    Purchase,
    PurchaseState,
    Refund,
    RefundStatus,
    StripeCustomer,
    Subscription,
)
from billing.models.projections import HOLDING
from billing.news import tell_of_failed_payment, tell_of_subscription
from billing.prices import by_usage_last
from billing.refund_outcome import follow_outcome
from billing.shapes import ItemFacts, SubscriptionFacts, instant, ref
from billing.sums import discount_minor
from keystore.locking import upsert

Told = dict[str, Any]


def prices_of(facts: SubscriptionFacts, holder: StripeCustomer) -> list[Price]:
    """The catalogue's prices among the items; foreign and unknown ones open nothing."""
    wanted = [item.stripe_price_id for item in facts.items]
    found = Price.objects.filter(project_id=holder.project_id, stripe_price_id__in=wanted)
    return list(found.select_related("plan__api").order_by("-plan__rank", by_usage_last(), "pk"))


def project_subscription(
    *,
    facts: SubscriptionFacts,
    holder: StripeCustomer,
    prices: list[Price],
    discounts: list[Told],
    upcoming: Told | None,
    at: datetime,
) -> Subscription:
    rows = Subscription.objects.select_related("plan", "price")
    before = rows.filter(stripe_subscription_id=facts.stripe_subscription_id).first()
    row, _ = upsert(
        Subscription,
        stripe_subscription_id=facts.stripe_subscription_id,
        defaults={
            "project_id": holder.project_id,
            "consumer_id": holder.consumer_id,
            "status": facts.status,
            **_sold(facts, prices),
            "currency": facts.currency,
            "mrr_minor": facts.mrr_minor,
            **_terms(facts),
            "taxed": facts.taxed,
            "discounts": discounts,
            "upcoming": upcoming,
            "items": [_item(item) for item in facts.items],
            "started_at": facts.started_at,
            "synced_at": at,
        },
    )
    tell_of_subscription(before=before, row=row, holder=holder, at=at)
    trials.note_trial(row=row, holder=holder, at=at)
    return row


def _sold(facts: SubscriptionFacts, prices: list[Price]) -> Told:
    price = prices[0] if prices else None
    return {
        "price": price,
        "plan": price.plan if price else None,
        "quantity": facts.items[0].quantity if facts.items else 0,
    }


def _terms(facts: SubscriptionFacts) -> Told:
    return {
        "current_period_start": facts.current_period_start,
        "current_period_end": facts.current_period_end,
        "cancel_at": facts.cancel_at,
        "canceled_at": facts.canceled_at,
        "ended_at": facts.ended_at,
        "ended_because": facts.ended_because,
        "trial_end": facts.trial_end,
        "paused": facts.paused,
        "paid_until": facts.paid_until,
        "unpaid_since": facts.unpaid_since,
    }


def _item(item: ItemFacts) -> Told:
    return {"price_id": item.stripe_price_id, "quantity": item.quantity}


def project_direct_checkout(
    *, facts: SubscriptionFacts, holder: StripeCustomer, at: datetime
) -> None:
    """Bring the checkout that made a subscription with a saved card up to date with it."""
    if not facts.checkout_public_id:
        return
    told: dict[str, object] = {"stripe_subscription_id": facts.stripe_subscription_id}
    if facts.status in access.NOT_BEGUN:
        told["state"] = CheckoutState.OPEN
    elif facts.status in access.ENDED:
        told |= {"state": CheckoutState.EXPIRED, "problem": "it was not paid in time"}
    else:
        told |= {"state": CheckoutState.COMPLETE, "completed_at": at}
    rows = Checkout.objects.filter(
        public_id=facts.checkout_public_id,
        consumer_id=holder.consumer_id,
        state__in=[CheckoutState.PENDING, CheckoutState.OPEN],
    )
    rows.exclude(stripe_payment_method_id="").update(**told)


def project_checkout(*, session: Object, at: datetime) -> Checkout | None:
    """Bring our checkout up to date with its session; None if the session is not ours."""
    checkout = Checkout.objects.filter(stripe_session_id=session["id"]).first()
    if checkout is None:
        return None
    state = {"complete": CheckoutState.COMPLETE, "expired": CheckoutState.EXPIRED}.get(
        session["status"], CheckoutState.OPEN
    )
    checkout.state = state
    checkout.stripe_subscription_id = ref(session.get("subscription"))
    checkout.stripe_payment_intent_id = ref(session.get("payment_intent"))
    if state == CheckoutState.COMPLETE and checkout.completed_at is None:
        checkout.completed_at = at
    checkout.save(
        update_fields=[
            "state",
            "stripe_subscription_id",
            "stripe_payment_intent_id",
            "completed_at",
        ]
    )
    return checkout


def project_purchase(*, checkout: Checkout, session: Object, at: datetime) -> Purchase | None:
    """The sale behind a paid session in payment mode; None while nothing was paid."""
    paid = session["payment_status"] in ("paid", "no_payment_required")
    if checkout.mode != CheckoutMode.PAYMENT or session["status"] != "complete" or not paid:
        return None
    purchase, _ = Purchase.objects.get_or_create(
        checkout=checkout,
        defaults={
            "project_id": checkout.project_id,
            "consumer_id": checkout.consumer_id,
            "price_id": checkout.price_id,
            "stripe_payment_intent_id": checkout.stripe_payment_intent_id,
            "quantity": checkout.quantity,
            "amount_minor": session["amount_total"] or 0,
            "currency": session["currency"],
            "created_at": instant(session["created"]),
            "synced_at": at,
        },
    )
    return purchase


def project_invoice(*, found: Object, holder: StripeCustomer, at: datetime) -> Invoice:
    row, _ = upsert(
        Invoice,
        stripe_invoice_id=found["id"],
        defaults={
            "project_id": holder.project_id,
            "consumer_id": holder.consumer_id,
            "stripe_subscription_id": shapes.invoice_subscription_id(found),
            "number": found["number"] or "",
            "status": found["status"] or "draft",
            "currency": found["currency"],
            "total_minor": found["total"],
            "paid_minor": found["amount_paid"],
            "remaining_minor": found["amount_remaining"],
            "tax_minor": shapes.invoice_tax_minor(found),
            "subtotal_minor": found["subtotal"],
            "discount_minor": discount_minor(found),
            "problem": (found.get("last_finalization_error") or {}).get("message") or "",
            "due_at": instant(found["due_date"]),
            "hosted_url": found.get("hosted_invoice_url") or "",
            "pdf_url": found.get("invoice_pdf") or "",
            "created_at": instant(found["created"]),
            "synced_at": at,
        },
    )
    intents = [intent for intent in shapes.invoice_intents(found) if intent]
    Payment.objects.filter(stripe_payment_intent_id__in=intents, consumer=holder.consumer).update(
        stripe_invoice_id=found["id"]
    )
    return row


def project_payment(*, found: Object, holder: StripeCustomer, at: datetime) -> Payment:
    facts = shapes.charge(found)
    fee: dict[str, object] = {}
    if facts.fee_minor is not None:  # an answer without it does not unsay it
        fee = {"fee_minor": facts.fee_minor, "fee_currency": facts.fee_currency}
    before = Payment.objects.filter(stripe_charge_id=facts.stripe_charge_id).first()
    row, _ = upsert(
        Payment,
        stripe_charge_id=facts.stripe_charge_id,
        defaults={
            "project_id": holder.project_id,
            "consumer_id": holder.consumer_id,
            "stripe_payment_intent_id": facts.stripe_payment_intent_id,
            "status": facts.status,
            "failure_message": facts.failure_message,
            "currency": facts.currency,
            "captured_minor": facts.captured_minor,
            "disputed": facts.disputed,
            "created_at": facts.created_at,
            "synced_at": at,
            **fee,
        },
    )
    tell_of_failed_payment(before=before, row=row, holder=holder, at=at)
    return row


def project_refunds(*, payment: Payment, found: Iterable[Object], at: datetime) -> None:
    """Take over Stripe's refunds of a payment, then count anew what they hold."""
    for refund in found:
        _project_refund(payment, refund, at)
    recount_refunds(payment)


def _project_refund(payment: Payment, found: Object, at: datetime) -> None:
    known = Refund.objects.filter(stripe_refund_id=found["id"]).first()
    mark = (found.get("metadata") or {}).get("operation_id")
    if known is None and mark:
        # Ours, made by an operation whose answer is not settled yet.
        known = Refund.objects.filter(payment=payment, operation__public_id=mark).first()
    facts = {
        "stripe_refund_id": found["id"],
        "status": refund_status(found["status"]),
        "amount_minor": found["amount"],
        "synced_at": at,
    }
    was = known.status if known and known.stripe_refund_id else ""
    if known is None:
        known = Refund.objects.create(
            project_id=payment.project_id,
            payment=payment,
            currency=found["currency"],
            reason=found["reason"] or "",
            created_at=instant(found["created"]),
            **facts,
        )
    else:
        Refund.objects.filter(pk=known.pk).update(**facts)
        known.refresh_from_db()
    known.payment = payment
    follow_outcome(refund=known, was=was, at=at)


def project_purchase_state(*, purchase: Purchase, at: datetime) -> PurchaseState:
    """Paid, partly or fully given back, by the refunds that Stripe has confirmed."""
    payments = Payment.objects.filter(
        stripe_payment_intent_id=purchase.stripe_payment_intent_id, project=purchase.project_id
    ).exclude(stripe_payment_intent_id="")
    confirmed = Refund.objects.filter(payment__in=payments, status__in=HOLDING)
    confirmed = confirmed.exclude(status=RefundStatus.WANTED)
    captured = payments.aggregate(sum=Sum("captured_minor"))["sum"] or 0
    refunded = confirmed.aggregate(sum=Sum("amount_minor"))["sum"] or 0
    state = PurchaseState.PAID
    if refunded:
        full = refunded >= captured
        state = PurchaseState.REFUNDED if full else PurchaseState.PARTLY_REFUNDED
    Purchase.objects.filter(pk=purchase.pk).update(state=state, synced_at=at)
    return state
