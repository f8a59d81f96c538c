"""When creators are paid: by each project's day and minimum, and open payouts followed."""

import logging
from datetime import datetime, timedelta

from django.db.models import Q

from billing import gateway
from billing.market.adjustments import expire_adjustments
from billing.market.balances import balances_of, minimum_of, payable_of
from billing.market.creators import Clock, refresh_creator
from billing.market.payouts import follow_payout, refusal_of, want_payout, want_return
from billing.market.terms import policy_of
from billing.models import (
    Creator,
    MarketPolicy,
    Operation,
    OperationKind,
    Payout,
    PayoutInterval,
    PayoutState,
)
from billing.models.operations import OPEN_STATES
from billing.operations import run_operation
from config.errors import DomainError
from keystore.models import Project

logger = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(hours=1)
MOST_AT_ONCE = 50
ACTOR = "system"


def work_payouts(*, clock: Clock) -> int:
    """Pay out what is due and look at what is under way; returns how many payouts began."""
    expire_adjustments(at=clock())
    _look_at_open_ones(clock)
    projects = Project.objects.filter(creators__isnull=False).distinct()
    return sum(_pay_project(project, clock) for project in projects.order_by("pk"))


def period_due(policy: MarketPolicy, at: datetime) -> str:
    """The run of the schedule that has begun, in UTC: "2026-11", "2026-W47"; "" before its day."""
    year, week, weekday = at.isocalendar()
    if policy.interval == PayoutInterval.WEEKLY and weekday >= policy.day:
        return f"{year}-W{week:02}"
    if policy.interval == PayoutInterval.MONTHLY and at.day >= policy.day:
        return f"{at:%Y-%m}"
    return ""


def _pay_project(project: Project, clock: Clock) -> int:
    period = period_due(policy_of(project), clock())
    if not period:
        return 0
    creators = Creator.objects.select_related("project", "consumer").filter(
        project=project, payouts_paused_at=None, payouts_enabled=True
    )
    return sum(_pay_creator(creator, period, clock) for creator in creators.order_by("pk"))


def _pay_creator(creator: Creator, period: str, clock: Clock) -> int:
    currencies = [
        currency
        for currency, balance in balances_of(creator).items()
        if payable_of(balance, currency) >= minimum_of(creator, currency)
        and not _tried(creator, currency, period, clock())
    ]
    return sum(_pay(creator, currency, period, clock) for currency in currencies)


def _tried(creator: Creator, currency: str, period: str, at: datetime) -> bool:
    """Paid in this period, or refused today: what came back is tried again a day later."""
    rows = Payout.objects.filter(creator=creator, currency=currency)
    ended_badly = Q(state__in=(PayoutState.FAILED, PayoutState.RETURNED))
    today = Q(finished_at__gt=at - timedelta(days=1))
    return rows.filter(Q(period=period) & (~ended_badly | today)).exists()


def _pay(creator: Creator, currency: str, period: str, clock: Clock) -> int:
    try:
        refresh_creator(creator=creator, clock=clock)
        if refusal_of(creator):
            return 0
        payout = want_payout(
            creator=creator, currency=currency, actor=ACTOR, at=clock(), period=period
        )
    except (DomainError, gateway.StripeMissing) as problem:
        logger.warning(
            "payout.not_begun", extra={"creator": creator.public_id, "why": problem.message}
        )
        return 0
    run_operation(operation=payout.operation, at=clock())
    return 1


# --- What is under way ---------------------------------------------------------------------------


def _look_at_open_ones(clock: Clock) -> None:
    waiting = Payout.objects.select_related("project", "creator").filter(
        state__in=(PayoutState.PAYING, PayoutState.RETURNING),
        looked_at__lte=clock() - LOOK_AGAIN,
    )
    for payout in waiting.order_by("looked_at")[:MOST_AT_ONCE]:
        try:
            _look_at(payout, clock)
        except DomainError as problem:
            logger.warning(
                "payout.not_followed", extra={"payout": payout.public_id, "why": problem.message}
            )
        Payout.objects.filter(pk=payout.pk).update(looked_at=clock())


def _look_at(payout: Payout, clock: Clock) -> None:
    if payout.state == PayoutState.PAYING:
        follow_payout(payout=payout, clock=clock)
        return
    open_ones = Operation.objects.filter(
        kind=OperationKind.REVERSE_TRANSFER, subject=payout.public_id, state__in=OPEN_STATES
    )
    if not open_ones.exists():
        want_return(payout=payout, at=clock())
