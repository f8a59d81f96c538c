"""Writes events as the database's own statement does."""

from datetime import timedelta
from uuid import UUID

from django.db import connection

from metering.models import UsageEvent
from tests.conftest import NOON

SQL = "SELECT * FROM metering_consume({})".format(", ".join(["%s"] * 21))


def consume(
    meter,
    consumer,
    event_id,
    quantity=1,
    *,
    limit=10,
    hard=True,
    value="",
    at=NOON,
    properties="{}",
):
    """One event against a limit of the hour after NOON: outcome, used, paid by credits, credits."""
    with connection.cursor() as cursor:
        cursor.execute(
            SQL,
            [
                *(meter.project_id, consumer.pk, meter.pk, None, None, "", event_id),
                *(f"{quantity}".encode(), quantity, value, at, at, at, properties),
                *(meter.aggregation, True, NOON, NOON + timedelta(hours=1), limit, hard, 80),
            ],
        )
        outcome, _, used, _, covered, credits = cursor.fetchone()
    return outcome, used, covered, credits


def use(meter, consumer, event_id, quantity=1, **told):
    """An event that no limit stands against."""
    consume(meter, consumer, event_id, quantity, limit=None, **told)
    return UsageEvent.objects.get(event_id=event_id)


def take_back(event):
    """The counter-event of one."""
    same = ("project", "consumer", "meter", "unique_value", "occurred_at", "counts_at")
    UsageEvent.objects.create(
        **{name: getattr(event, name) for name in (*same, "received_at", "properties")},
        id=UUID(int=event.pk.int + 1),
        event_id=f"{event.event_id}#void",
        quantity=-event.quantity,
        corrects=event.pk,
        voids=True,
    )
