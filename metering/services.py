"""Every change to periods and credits. One function is one transaction."""

from datetime import datetime

from django.db import transaction

from config.errors import InvalidInput
from keystore.models import Consumer
from metering.corrections import amend_event, void_event
from metering.credits import give_credits, revoke_credits
from metering.models import Cycle, Interval
from metering.recording import (
    check_api_call_quota,
    check_quota,
    check_scraping_task_quota,
    check_token_quota,
    record_api_call_usage,
    record_scraping_task_usage,
    record_token_usage,
    record_usage,
)
from metering.reservations import release_reservation, reserve_quota, settle_reservation

# Written beside their subject, known under one name.
__all__ = [
    "amend_event",
    "check_api_call_quota",
    "check_quota",
    "check_scraping_task_quota",
    "check_token_quota",
    "clear_cycle",
    "give_credits",
    "record_api_call_usage",
    "record_scraping_task_usage",
    "record_token_usage",
    "record_usage",
    "release_reservation",
    "reserve_quota",
    "revoke_credits",
    "set_cycle",
    "settle_reservation",
    "void_event",
]


@transaction.atomic
def set_cycle(
    *, consumer: Consumer, anchor: datetime, interval: str, interval_count: int = 1
) -> Cycle:
    """When the consumer's billing periods start from now on; the same again changes nothing.

    What was used stays under the period in which it was used.
    """
    if interval not in Interval.values or interval_count < 1:
        raise InvalidInput(f"A period has one or more of: {', '.join(Interval.values)}.")
    terms = {"anchor": anchor, "interval": interval, "interval_count": interval_count}
    cycle, created = Cycle.objects.get_or_create(consumer=consumer, defaults=terms)
    if not created and any(getattr(cycle, name) != value for name, value in terms.items()):
        for name, value in terms.items():
            setattr(cycle, name, value)
        cycle.save(update_fields=list(terms))
    return cycle


@transaction.atomic
def clear_cycle(*, consumer: Consumer) -> None:
    """Back to calendar months: nobody bills the consumer any more."""
    Cycle.objects.filter(consumer=consumer).delete()
