from datetime import timedelta

import pytest

from entitlements.models import Feature, FeatureKind, GrantSource, Plan, PlanFeature
from entitlements.services import WantedGrant, give_grant, revoke_feature, set_source_grants
from tests.conftest import NOON

DAY = timedelta(days=1)
MONTH = timedelta(days=30)


@pytest.fixture
def labs(journal):
    """A feature that no plan contains."""
    return Feature.objects.create(project=journal, code="labs", name="Labs")


@pytest.fixture
def export(journal):
    """A feature that the pro plan contains."""
    return Feature.objects.create(project=journal, code="export")


@pytest.fixture
def exports(journal):
    """A limit: 10 with the basic plan, 100 with pro."""
    return Feature.objects.create(project=journal, code="exports", kind=FeatureKind.LIMIT)


@pytest.fixture
def basic(journal, exports):
    plan = Plan.objects.create(project=journal, code="basic", name="Basic", rank=1)
    PlanFeature.objects.create(plan=plan, feature=exports, limit=10, reset="day")
    return plan


@pytest.fixture
def pro(journal, export, exports):
    plan = Plan.objects.create(project=journal, code="pro", name="Pro", rank=2)
    PlanFeature.objects.create(plan=plan, feature=export)
    PlanFeature.objects.create(plan=plan, feature=exports, limit=100, reset="calendar_month")
    return plan


def subscribe(consumer, *plans, ref="sub_1", until=MONTH, at=NOON):
    """What sync does for a subscription; no plans: its access has ended."""
    return set_source_grants(
        consumer=consumer,
        source=GrantSource.SUBSCRIPTION,
        source_ref=ref,
        wanted=[WantedGrant(plan, NOON, NOON + until) for plan in plans],
        reason="sync",
        actor="stripe",
        at=at,
    )


def give(consumer, *, at=NOON, **wish):
    values = {
        "valid_from": None,
        "valid_to": None,
        "reason": "VIP pilot",
        "granted_by": "sam",
        "idempotency_key": "ticket-17",
        "actor": "staff:sam",
    }
    return give_grant(consumer=consumer, at=at, **{**values, **wish})


def revoke(consumer, feature, *, at=NOON, key="ticket-18"):
    return revoke_feature(
        consumer=consumer,
        feature=feature,
        reason="abuse",
        revoked_by="sam",
        idempotency_key=key,
        actor="staff:sam",
        at=at,
    )
