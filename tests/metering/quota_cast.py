"""Limits, meters and credits for the tests of quotas."""

from decimal import Decimal

from entitlements.models import PlanFeature
from entitlements.services import give_grant
from metering.models import CreditPack, QuotaBalance
from tests.conftest import NOON


def sell(project, code, *, limit=10, kind="limit", reset="calendar_month", enforcement="hard"):
    """A plan of one feature; its limit and the like."""
    feature, _ = project.features.get_or_create(code=code, defaults={"kind": kind})
    plan = project.plans.create(code=f"{code}-{project.plans.count()}")
    PlanFeature.objects.create(
        plan=plan, feature=feature, limit=limit, reset=reset, enforcement=enforcement
    )
    return plan


def metered(project, code="tokens", **terms):
    """A meter whose usage consumes the feature's limit."""
    feature, _ = project.features.get_or_create(code=code, defaults={"kind": "limit"})
    return project.meters.create(code=code, feature=feature, **terms)


def give(consumer, *, at=NOON, key="", **opened):
    """A plan, or a feature with a limit of its own."""
    return give_grant(
        consumer=consumer,
        reason="test",
        granted_by="test",
        idempotency_key=f"{key} {opened}",
        actor="test",
        valid_from=at,
        valid_to=None,
        at=at,
        **opened,
    )


def used_of(consumer, meter):
    balance = QuotaBalance.objects.get(consumer=consumer, meter=meter)
    return balance.used, balance.reserved, balance.from_credits


def ledger_of(pack):
    """What the pack's entries add up to; the same as what remains."""
    pack = CreditPack.objects.get(pk=pack.pk)
    total = sum((entry.delta for entry in pack.entries.all()), Decimal(0))
    return pack.remaining, total
