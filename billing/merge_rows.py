"""What billing keeps of a duplicate becomes the survivor's, table by table. Safe to repeat.

Earnings of creators stay under the duplicate: their ledger takes no change, and the duplicate is
answered as the survivor wherever it is shown.
"""

from datetime import datetime

from django.db import connection

from billing import access
from billing.models import (
    Checkout,
    CheckoutState,
    Creator,
    CreditNote,
    CustomInvoice,
    DashboardLink,
    Dispute,
    Drift,
    DunningCourse,
    Invoice,
    Payment,
    Price,
    PriceOverride,
    PromotionCode,
    Purchase,
    Redemption,
    RefundRequest,
    StripeCustomer,
    Subscription,
    TrialUse,
)
from keystore.merging import Moved
from keystore.models import Consumer

PLAIN = {
    "subscriptions": Subscription,
    "invoices": Invoice,
    "payments": Payment,
    "purchases": Purchase,
    "disputes": Dispute,
    "credit notes": CreditNote,
    "invoices by hand": CustomInvoice,
    "refund requests": RefundRequest,
    "differences found": Drift,
    "creators": Creator,
    "reminders of payments": DunningCourse,
    "promotion codes": PromotionCode,
    "discounts": Redemption,
}
# Both may have told Stripe of the same hour: the survivor's reports come first.
REPORTS = """
UPDATE billing_usagereport AS r SET consumer_id = %(survivor)s, version = r.version + coalesce(
    (SELECT max(own.version) FROM billing_usagereport AS own
     WHERE own.consumer_id = %(survivor)s AND own.meter_id = r.meter_id
       AND own.bucket = r.bucket), 0)
WHERE r.consumer_id = %(duplicate)s
"""


def live_subscriptions(consumer: Consumer) -> list[Subscription]:
    """Those that may still cost money or come back, oldest first."""
    rows = Subscription.objects.select_related("plan").filter(consumer=consumer)
    return list(rows.exclude(status__in=access.ENDED).order_by("started_at", "pk"))


def hand_over_sales(*, duplicate: Consumer, survivor: Consumer, at: datetime) -> Moved:
    """Every sale, its money and what was agreed; in the transaction of the merge."""
    moved = {"Stripe customers": _move_holder(duplicate, survivor)}
    for name, table in PLAIN.items():
        rows = table._default_manager.filter(consumer=duplicate)
        moved[name] = rows.update(consumer=survivor)
    moved["checkouts"] = _move_checkouts(duplicate, survivor)
    moved["agreed prices"] = _move_prices(duplicate, survivor, at)
    moved["trials"] = _move_trials(duplicate, survivor)
    with connection.cursor() as cursor:
        cursor.execute(REPORTS, {"duplicate": duplicate.pk, "survivor": survivor.pk})
        moved["reports of usage"] = cursor.rowcount
    # Whoever came by a link to the duplicate's pages asks for a new one.
    DashboardLink.objects.filter(consumer=duplicate, ended_at=None).update(ended_at=at)
    return moved


def _move_holder(duplicate: Consumer, survivor: Consumer) -> int:
    """The customer that is charged from now on is the survivor's own row.

    Another one stays with the duplicate, whose events still arrive: `customers.find_holder`
    answers them as the survivor.
    """
    own = StripeCustomer.objects.filter(consumer=survivor).first()
    other = StripeCustomer.objects.filter(consumer=duplicate).first()
    if other is None or (own is not None and not _is_better(own, other, duplicate)):
        return 0
    if own is not None:
        own.delete()
    StripeCustomer.objects.filter(pk=other.pk).update(consumer=survivor)
    if own is not None:
        own.pk, own.consumer = None, duplicate
        own.save(force_insert=True)
    return 1


def _is_better(own: StripeCustomer, other: StripeCustomer, duplicate: Consumer) -> bool:
    """Whether the duplicate's customer is the one to go on with."""
    if own.deleted_at is not None and other.deleted_at is None:
        return True
    return other.deleted_at is None and bool(live_subscriptions(duplicate))


def _move_checkouts(duplicate: Consumer, survivor: Consumer) -> int:
    waiting = Checkout.objects.filter(
        guarded=True, state__in=(CheckoutState.PENDING, CheckoutState.OPEN)
    )
    # Both may have the page of one plan open; if both pay, the second is paid back.
    plans = waiting.filter(consumer=survivor).values("plan_id")
    waiting.filter(consumer=duplicate, plan_id__in=plans).update(guarded=False)
    return Checkout.objects.filter(consumer=duplicate).update(consumer=survivor)


def _move_prices(duplicate: Consumer, survivor: Consumer, at: datetime) -> int:
    """Of two prices agreed for the same the survivor's stands."""
    agreed = PriceOverride.objects.filter(ended_at=None)
    own = agreed.filter(consumer=survivor).values("price_id")
    agreed.filter(consumer=duplicate, price_id__in=own).update(ended_at=at)
    Price.objects.filter(only_for=duplicate).update(only_for=survivor)
    return PriceOverride.objects.filter(consumer=duplicate).update(consumer=survivor)


def _move_trials(duplicate: Consumer, survivor: Consumer) -> int:
    """One person has one trial of a plan: what either has used is used."""
    for use in TrialUse.objects.filter(consumer=duplicate, began_at__isnull=False):
        TrialUse.objects.filter(consumer=survivor, plan=use.plan_id, began_at=None).update(
            began_at=use.began_at
        )
    own = TrialUse.objects.filter(consumer=survivor).values("plan_id")
    rows = TrialUse.objects.filter(consumer=duplicate).exclude(plan_id__in=own)
    return rows.update(consumer=survivor)
