"""What staff set going by hand."""

from collections.abc import Callable
from datetime import datetime

from billing.models import StripeCustomer
from billing.sync import NotOurs, SyncReport, sync_customer
from config.errors import NotFound
from keystore import audit
from keystore.models import Consumer


def sync_now(*, consumer: Consumer, actor: str, reason: str, clock: Callable[[], datetime]) -> str:
    """Make our state of the consumer equal Stripe's, and say what changed.

    Raises NotFound when Stripe has nothing of them, CustomerBusy and StripeUnavailable as
    `sync_customer` does.
    """
    holder = StripeCustomer.objects.filter(consumer=consumer).first()
    if holder is None:
        raise NotFound("This consumer has no Stripe customer: they never went to a checkout.")

    def record(report: SyncReport) -> None:
        audit.record(
            actor=actor,
            act="customer.sync",
            target=consumer,
            consumer=consumer,
            after={"changed": report.changed_grants, "gone": report.gone},
            reason=reason,
        )

    try:
        report = sync_customer(
            stripe_customer_id=holder.stripe_customer_id, clock=clock, full=True, also=record
        )
    except NotOurs as why:
        raise NotFound(f"Nothing changed: {why}.") from why
    changed = ", ".join(report.changed_grants)
    said = f"access changed by {changed}" if changed else "no access changed"
    if report.mirror_problems:
        said += f"; not mirrored: {'; '.join(report.mirror_problems)}"
    return f"Synced with Stripe: {said}."
