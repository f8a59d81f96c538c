"""What staff agree for a whole project: when creators are paid, from what on, who bears fees."""

from datetime import datetime

from django.db import transaction

from billing.market.terms import policy_of
from billing.models import FeeBearer, MarketPolicy, PayoutInterval, PayoutMinimum
from billing.money import shown
from config.errors import InvalidInput
from keystore import audit
from keystore.locking import upsert
from keystore.models import Project

LAST_DAY = {PayoutInterval.WEEKLY: 7, PayoutInterval.MONTHLY: 28, PayoutInterval.MANUAL: 28}
TERMS = ("stripe_fee", "interval", "day")


@transaction.atomic
def set_market_terms(
    *,
    project: Project,
    stripe_fee: FeeBearer,
    interval: PayoutInterval,
    day: int,
    actor: str,
    reason: str,
    at: datetime,
) -> bool:
    """From now on; what was sold and paid out stays. False when it was so before. Raises
    InvalidInput for a day that the interval does not have.
    """
    if not 1 <= day <= LAST_DAY[interval]:
        raise InvalidInput(f"A day of a {interval} schedule is from 1 to {LAST_DAY[interval]}.")
    Project.objects.select_for_update(of=("self",), no_key=True).get(pk=project.pk)
    before = _terms(policy_of(project))
    wanted = {"stripe_fee": str(stripe_fee), "interval": str(interval), "day": day}
    policy, made = upsert(MarketPolicy, project=project, defaults=wanted)
    if before == wanted and not made:
        return False
    audit.record(
        actor=actor,
        act="market.set_terms",
        target=policy,
        project=project,
        before=before,
        after=wanted,
        reason=reason,
        at=at,
    )
    return True


@transaction.atomic
def set_minimum(
    *, project: Project, currency: str, amount_minor: int, actor: str, reason: str, at: datetime
) -> bool:
    """The least that the schedule pays out in a currency; 0: whatever is there. False when it was
    so before.
    """
    if amount_minor < 0:
        raise InvalidInput("A minimum is nothing or more.")
    Project.objects.select_for_update(of=("self",), no_key=True).get(pk=project.pk)
    rows = PayoutMinimum.objects.filter(project=project, currency=currency)
    before = rows.values_list("amount_minor", flat=True).first() or 0
    if before == amount_minor:
        return False
    if amount_minor:
        wanted = {"amount_minor": amount_minor}
        upsert(PayoutMinimum, project=project, currency=currency, defaults=wanted)
    else:
        rows.delete()
    audit.record(
        actor=actor,
        act="market.set_minimum",
        target=project,
        project=project,
        before={"currency": currency, "amount_minor": before},
        after={"currency": currency, "amount_minor": amount_minor},
        reason=reason,
        at=at,
    )
    return True


def minimums_text(project: Project) -> str:
    rows = PayoutMinimum.objects.filter(project=project).order_by("currency")
    return ", ".join(shown(row.amount_minor, row.currency) for row in rows)


def schedule_text(policy: MarketPolicy) -> str:
    """ "monthly, on day 1", "weekly, on day 1 (Monday is 1)", "by hand"."""
    if policy.interval == PayoutInterval.MANUAL:
        return "by hand"
    told = " (Monday is 1)" if policy.interval == PayoutInterval.WEEKLY else ""
    return f"{policy.interval}, on day {policy.day}{told}, in UTC"


def _terms(policy: MarketPolicy) -> dict[str, object]:
    return {name: getattr(policy, name) for name in TERMS}
