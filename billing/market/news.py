"""What becomes of creators and payouts, told to the project's hooks in the same transaction."""

from datetime import datetime
from typing import Any

from billing.models import Creator, CreatorState, Payout, PayoutState
from keystore.outbox import tell


def tell_of_creator(*, creator: Creator, state: CreatorState, reason: str, at: datetime) -> None:
    """Stripe pays into the account now, or stopped to; nothing for the steps between."""
    kinds = {
        CreatorState.ACTIVE: "creator.onboarded",
        CreatorState.DISABLED: "creator.disabled",
    }
    if state not in kinds:
        return
    data = {**_creator(creator), "state": str(state), "disabled_reason": reason}
    _tell(creator, kinds[state], data, at)


def tell_of_payout(*, payout: Payout, at: datetime) -> None:
    """It is paid, or was refused: told when that is known, before the money is back."""
    kind = "payout.paid" if payout.state == PayoutState.PAID else "payout.failed"
    data = {
        **_creator(payout.creator),
        "payout_id": payout.public_id,
        "state": payout.state,
        "amount_minor": payout.amount_minor,
        "currency": payout.currency,
        "period": payout.period,
        "reason": payout.problem,
        "created_at": payout.created_at,
    }
    _tell(payout.creator, kind, data, at)


def _creator(creator: Creator) -> dict[str, Any]:
    consumer = creator.consumer
    return {
        "creator_id": creator.public_id,
        "user_id": consumer.external_id,
        "consumer_id": consumer.public_id,
    }


def _tell(creator: Creator, kind: str, data: dict[str, Any], at: datetime) -> None:
    tell(project=creator.project, consumer=creator.consumer, kind=kind, data=data, at=at)
