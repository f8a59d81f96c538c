"""What the consumer may use, why, and in words what would change it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from billing.access import ENDED, UNPAID_IN_GRACE
from billing.admin.consumer import row_acts
from billing.admin.consumer.tables import Act, Row, Section, Table, lines, span, text_of
from billing.grace import DEFAULT_GRACE_DAYS
from billing.models import Subscription
from entitlements.admin import acts_linked
from entitlements.explain import Change, Explanation, Loser
from entitlements.models import Grant
from entitlements.resolve import GrantFacts, Offer
from keystore.models import Consumer

HEADERS = ["Feature", "Now", "Why", "Since, until", "What else was given", "What changes it"]
TITLE = "What they may use, and why"
TEMPLATE = "admin/consumer/access.html"


@dataclass(frozen=True)
class Money:
    """The subscriptions behind the grants, by Stripe's id, and the project's days of grace."""

    subscriptions: Mapping[str, Subscription]
    grace: timedelta

    def behind(self, source_ref: str) -> Subscription | None:
        return self.subscriptions.get(source_ref)


def money_of(consumer: Consumer) -> Money:
    rows = Subscription.objects.filter(consumer=consumer).select_related("plan")
    policy = getattr(consumer.project, "billing_policy", None)
    days = policy.grace_days if policy else DEFAULT_GRACE_DAYS
    return Money({row.stripe_subscription_id: row for row in rows}, timedelta(days=days))


def section(
    *, consumer: Consumer, explained: list[Explanation], money: Money, user: Any, at: datetime
) -> Section:
    def acts(said: Explanation) -> list[Act]:
        code = said.feature_code
        offered = row_acts.offered(
            row_acts.FEATURE_ACTS, said, code, consumer=consumer, user=user, at=at
        )
        return [*offered, *_way_back(said, consumer, user, at)]

    rows = [Row(_line(said, money), acts(said)) for said in explained]
    table = Table(HEADERS, rows, "Nothing was ever granted to this consumer.", total=len(rows))
    return Section("access", TITLE, table, short="Access", template=TEMPLATE)


def _way_back(said: Explanation, consumer: Consumer, user: Any, at: datetime) -> list[Act]:
    """Of a feature that was taken away minutes ago: to have it as it was."""
    if said.denial is None:
        return []
    denial = Grant.objects.filter(consumer=consumer, public_id=said.denial.grant_id).first()
    linked = acts_linked(denial, user, at) if denial else ()
    return [
        Act(title, f"{url}?from=consumer", dialog=dialog)
        for title, url, dialog in linked
        if title == "Undo"
    ]


def past_section(*, explained: list[Explanation], then: str, plans: str) -> Section:
    """What they could use at an instant gone by; nothing can be done about that any more."""
    nobody = Money({}, timedelta())  # subscriptions are known as they are now
    rows = [Row(_line(said, nobody)) for said in explained]
    table = Table(HEADERS, rows, "Nothing had been granted.", total=len(rows))
    title = f"What they could use on {then} UTC, and why"
    return Section("access", title, table, intro=plans, short="Access", template=TEMPLATE)


def _line(said: Explanation, money: Money) -> list[tuple[str, Any]]:
    return list(zip(HEADERS, _cells(said, money), strict=True))


def _cells(said: Explanation, money: Money) -> list[Any]:
    current = said.entitlement
    until = _until(current.valid_to, current.source_id, money) if current else ""
    return [
        said.feature_code,
        _now(said),
        _why(said),
        span(current.valid_from, current.valid_to, until) if current else "",
        lines(_loser(loser) for loser in said.losers),
        lines(_changes(said, money)) or "nothing, by itself",
    ]


def _now(said: Explanation) -> str:
    current = said.entitlement
    if current is None:
        return "no"
    if not current.active:
        return f"no ({current.reason.replace('_', ' ')})"
    if current.kind == "limit":
        return "unlimited" if current.limit is None else f"{current.limit:,}"
    return "yes" if current.value is True else str(current.value)


def _why(said: Explanation) -> str:
    if said.winner is not None:
        return _offer(said.winner)
    if said.denial is not None:
        return f"denied by {said.denial.grant_id}"
    return "no grant of it is in force"


def _offer(offer: Offer) -> str:
    plan = f"plan {offer.plan} by " if offer.plan else ""
    return f"{plan}{offer.grant.source} {offer.grant.source_ref}"


def _loser(loser: Loser) -> str:
    grant = loser.offer.grant
    instants = {
        "revoked": grant.revoked_at,
        "ended": grant.valid_to,
        "not_started": grant.valid_from,
    }
    instant = instants.get(loser.why)
    why = f"{loser.why.replace('_', ' ')}, {text_of(instant) if instant else loser.detail}"
    return f"{_offer(loser.offer)}: {why}"


def _until(end: datetime | None, source_ref: str, money: Money) -> str:
    """What the end of a subscription's grant means, which is rarely the end of the period."""
    subscription = money.behind(source_ref)
    if subscription is None or end is None or subscription.status in ENDED:
        return ""
    days = f"{money.grace.days} days of grace"
    if subscription.status in UNPAID_IN_GRACE:
        due = subscription.current_period_start
        return f"{days} for the renewal of {due:%Y-%m-%d}, not paid yet" if due else days
    if subscription.cancel_at is not None and subscription.cancel_at <= end:
        return "cancelled for then"
    if subscription.paid_until is not None and subscription.paid_until <= end:
        return "paused, and paid until then"
    due = subscription.current_period_end
    return f"renews {due:%Y-%m-%d}, with {days}" if due else days


def _changes(said: Explanation, money: Money) -> list[str]:
    source = said.winner.grant if said.winner else None
    told = [_change(change, source, money) for change in said.changes]
    if source is not None and money.behind(source.source_ref) is not None:
        told.append("at once, when the subscription is changed, cancelled or refunded")
    return told


def _change(change: Change, source: GrantFacts | None, money: Money) -> str:
    becomes = change.entitlement
    if becomes is None or not becomes.active:
        return f"{text_of(change.at)}: {_ending(source, money)}"
    return f"{text_of(change.at)}: {becomes.source} {becomes.source_id} decides"


def _ending(source: GrantFacts | None, money: Money) -> str:
    """Why access would end at the end of a grant."""
    subscription = money.behind(source.source_ref) if source else None
    if subscription is None:
        return "ends, because the grant runs out"
    if subscription.status in UNPAID_IN_GRACE:
        return "ends, unless the overdue renewal is paid before"
    if subscription.cancel_at is not None:
        return "ends, because the subscription is cancelled for then"
    if subscription.paid_until is not None:
        return "ends, unless the subscription is resumed before"
    return "would end only if the next renewal is neither paid nor heard of"
