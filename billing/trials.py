"""Trials: who may still have one, who used it, and the notice before it ends."""

import logging
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.mail import get_connection, send_mail
from django.db.models import Q
from django.template.loader import render_to_string

from billing.models import (
    Checkout,
    CheckoutState,
    Price,
    PriceKind,
    StripeCustomer,
    Subscription,
    TrialUse,
)
from billing.money import shown
from billing.news import subscription_told
from keystore.models import Consumer
from keystore.outbox import tell

logger = logging.getLogger(__name__)

NOTICE = timedelta(days=3)  # as long before as Stripe announces it
KIND = "subscription.trial_will_end"
MOST_AT_ONCE = 200
TIMEOUT_SECONDS = 10  # of the mail server
LAPSED = (CheckoutState.EXPIRED, CheckoutState.FAILED)


def days_for(*, consumer: Consumer, price: Price) -> int:
    """How many days for nothing the price offers this consumer; 0 once the plan was tried."""
    if not price.trial_days or price.kind == PriceKind.ONE_OFF:
        return 0
    used = TrialUse.objects.filter(consumer=consumer, plan=price.plan_id).exclude(_free())
    return 0 if used.exists() else price.trial_days


def _free() -> Q:
    """Promised by a checkout that came to nothing."""
    return Q(began_at=None, checkout__state__in=LAPSED)


def promise(*, checkout: Checkout) -> int:
    """Keep the consumer's one trial for this checkout, in the transaction that makes it; returns
    the days that are left to promise.
    """
    days = days_for(consumer=checkout.consumer, price=checkout.price)
    if not days:
        return 0
    row, is_new = TrialUse.objects.get_or_create(
        consumer=checkout.consumer,
        plan=checkout.plan,
        defaults={"project": checkout.project, "checkout": checkout},
    )
    if is_new:
        return days
    taken_over = TrialUse.objects.filter(_free(), pk=row.pk).update(checkout=checkout)
    return days if taken_over else 0


def note_trial(*, row: Subscription, holder: StripeCustomer, at: datetime) -> None:
    """Remember that a trial began, and tell of one that ends soon: once for each end."""
    if row.trial_end is None or row.plan is None:
        return
    use, _ = TrialUse.objects.get_or_create(
        consumer_id=row.consumer_id, plan=row.plan, defaults={"project_id": row.project_id}
    )
    if use.began_at is None:
        TrialUse.objects.filter(pk=use.pk, began_at=None).update(began_at=row.started_at)
    is_near = at <= row.trial_end <= at + NOTICE
    if row.status != "trialing" or not is_near or row.trial_told_for == row.trial_end:
        return
    Subscription.objects.filter(pk=row.pk).update(
        trial_told_for=row.trial_end, trial_mail_due=bool(holder.consumer.email)
    )
    data = subscription_told(row, holder)
    tell(project=holder.project, consumer=holder.consumer, kind=KIND, data=data, at=at)


def mail_trials(*, at: datetime) -> int:
    """Send what is still to be mailed of trials that end; returns how many mails went out.

    Marked after its mail: a crash in between may send one twice, but never none.
    """
    due = Subscription.objects.filter(trial_mail_due=True).order_by("trial_end")
    due = due.select_related("consumer", "project", "plan", "price")
    return sum(_mail(row, at) for row in due[:MOST_AT_ONCE])


def _mail(row: Subscription, at: datetime) -> int:
    is_news = row.status == "trialing" and row.trial_end is not None and row.trial_end > at
    is_wanted = is_news and bool(row.consumer.email)
    if is_wanted and not _send(row):
        return 0
    Subscription.objects.filter(pk=row.pk, trial_told_for=row.trial_told_for).update(
        trial_mail_due=False
    )
    return int(is_wanted)


def _send(row: Subscription) -> bool:
    assert row.trial_end is not None
    price = row.price
    told = {
        "name": row.consumer.name,
        "plan": row.plan.name or row.plan.code if row.plan else "your plan",
        "project": row.project,
        "ends_at": row.trial_end.astimezone(UTC),
        "renews": row.cancel_at is None,
        "price": shown(price.amount_minor * row.quantity, price.currency) if price else "",
    }
    # Names come from outside: a subject is one line.
    subject = " ".join(render_to_string("billing/trial_ends_subject.txt", told).split())
    try:
        send_mail(
            subject,
            render_to_string("billing/trial_ends.txt", told),
            settings.DEFAULT_FROM_EMAIL,
            [row.consumer.email],
            connection=get_connection(timeout=TIMEOUT_SECONDS),
        )
    except OSError:  # of SMTP too: the next round tries again
        logger.warning("trial_mail.not_sent", extra={"subscription": str(row)}, exc_info=True)
        return False
    return True
