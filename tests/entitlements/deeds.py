"""What happens in these tests: someone subscribes, staff give and revoke."""

from datetime import timedelta

from entitlements.models import GrantSource
from entitlements.services import WantedGrant, give_grant, revoke_feature, set_source_grants
from tests.conftest import NOON

DAY = timedelta(days=1)
MONTH = timedelta(days=30)


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
