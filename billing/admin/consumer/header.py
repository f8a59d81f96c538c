"""The card on top of the consumer page: plan, keys, money, tags, and what needs a look."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, Sum

from billing.access import ENDED, PAYING, UNPAID_IN_GRACE
from billing.admin.consumer.access import Money
from billing.admin.consumer.alarms import Alarm, alarms_of
from billing.admin.consumer.row_acts import action_url
from billing.admin.consumer.tables import Act, url_of
from billing.models import Payment, StripeCustomer, Subscription
from billing.money import shown
from entitlements.selectors import FeatureExplained
from keystore.models import ApiKey, Consumer


@dataclass(frozen=True)
class Header:
    holder: StripeCustomer | None
    holder_url: str
    plans: list[str]
    keys: str
    money: list[str]
    alarms: list[Alarm]
    tags: list[str] = field(default_factory=list)
    tag_acts: list[Act] = field(default_factory=list)


def header_of(
    *,
    consumer: Consumer,
    explained: list[FeatureExplained],
    money: Money,
    user: Any,
    at: datetime,
) -> Header:
    holder = StripeCustomer.objects.filter(consumer=consumer).first()
    may_tag = user.has_perm("keystore.tag_consumer")
    return Header(
        holder=holder,
        holder_url=url_of(holder) if holder else "",
        plans=_plans(explained, money),
        keys=_keys(consumer, at) if user.has_perm("keystore.view_apikey") else "",
        money=_totals(consumer) if user.has_perm("billing.view_payment") else [],
        alarms=alarms_of(
            consumer=consumer,
            holder=holder,
            money=money,
            denied=_denied(explained),
            user=user,
            at=at,
        ),
        tags=list(consumer.tags),
        tag_acts=[Act("Set tags", action_url("set_tags", consumer))] if may_tag else [],
    )


def _denied(explained: list[FeatureExplained]) -> list[str]:
    """The features that a denial keeps shut."""
    told = (one.explanation for one in explained)
    return [
        said.feature_code
        for said in told
        if said.entitlement and said.denial and not said.entitlement.active
    ]


def _plans(explained: list[FeatureExplained], money: Money) -> list[str]:
    """What they pay for and what else is open to them, in plain words."""
    paid = [
        f"{row.plan or row.stripe_subscription_id}: {_standing(row, money)}"
        for row in money.subscriptions.values()
        if row.status not in ENDED
    ]
    offers = (one.explanation.winner for one in explained if one.explanation.winner)
    given = {
        (offer.plan or offer.feature.code, str(offer.grant.source))
        for offer in offers
        if offer.grant.source_ref not in money.subscriptions
    }
    told = paid + sorted(f"{what}: {source} grant" for what, source in given)
    return told or ["No plan: nothing is open to them."]


def _standing(row: Subscription, money: Money) -> str:
    word = row.status.replace("_", " ")
    if row.paused:
        return f"{word}, and collection is paused"
    if row.cancel_at is not None:
        return f"{word}, ends {row.cancel_at:%Y-%m-%d}"
    if row.status in UNPAID_IN_GRACE and row.current_period_start:
        until = row.current_period_start + money.grace
        return f"{word} since {row.current_period_start:%Y-%m-%d}, access until {until:%Y-%m-%d}"
    if row.status in PAYING and row.current_period_end:
        return f"{word}, renews {row.current_period_end:%Y-%m-%d}"
    return f"{word}: gives no access"


def _keys(consumer: Consumer, at: datetime) -> str:
    usable = Q(revoked_at=None, disabled_at=None) & (Q(expires_at=None) | Q(expires_at__gt=at))
    counted = ApiKey.objects.filter(consumer=consumer).aggregate(
        usable=Count("pk", filter=usable),
        unpaid=Count("pk", filter=Q(revoked_at=None, disabled_because="payment")),
        disabled=Count("pk", filter=Q(revoked_at=None, disabled_because="staff")),
        revoked=Count("pk", filter=Q(revoked_at__isnull=False)),
    )
    words = {"usable": "usable", "unpaid": "not paid for", "disabled": "switched off"}
    words["revoked"] = "revoked"
    told = [f"{counted[name]} {word}" for name, word in words.items() if counted[name]]
    return ", ".join(told) or "none"


def _totals(consumer: Consumer) -> list[str]:
    """Per currency, which are never added together."""
    paid = Payment.objects.filter(consumer=consumer, status="succeeded")
    rows = paid.values("currency").annotate(
        captured=Sum("captured_minor"), refunded=Sum("refunded_minor"), number=Count("pk")
    )
    told = []
    for row in rows.order_by("currency"):
        currency = row["currency"]
        refunded = f", {shown(row['refunded'], currency)} given back" if row["refunded"] else ""
        payments = f"{row['number']} payment{'' if row['number'] == 1 else 's'}"
        told.append(f"{shown(row['captured'], currency)} in {payments}{refunded}")
    return told
