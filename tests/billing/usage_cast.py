"""A meter that is reported to Stripe, and usage that was counted of it, for the tests."""

from datetime import timedelta
from decimal import Decimal

from django.db.models import F

from billing import gateway, usage_reports, usage_sending
from billing.customers import ensure_customer
from billing.models import MeterLink, UsageReport
from metering.models import Meter, UsageTotal, Watermark
from tests.conftest import NOON

HOUR = timedelta(hours=1)


def link_meter(project, *, code="calls", aggregation="sum", formula="sum"):
    """A meter, here and at Stripe."""
    meter = Meter.objects.create(
        project=project,
        code=code,
        aggregation=aggregation,
        value_property="value" if aggregation == "unique" else "",
        stripe_event_name=code,
    )
    wanted = {
        "display_name": code,
        "event_name": code,
        "default_aggregation": {"formula": formula},
    }
    found = gateway.write("/v1/billing/meters", wanted, idempotency_key=f"t:meter:{code}")
    return MeterLink.objects.create(
        project=project, meter=meter, stripe_meter_id=found["id"], event_name=code
    )


def customer(consumer):
    return ensure_customer(consumer=consumer, actor="system", at=NOON).stripe_customer_id


def count(consumer, link, quantity, *, bucket=NOON, closed=True):
    """So much more was counted in the hour; it is closed then."""
    row, _ = UsageTotal.objects.get_or_create(
        project=consumer.project, meter=link.meter, consumer=consumer, grain="hour", bucket=bucket
    )
    UsageTotal.objects.filter(pk=row.pk).update(
        quantity=F("quantity") + Decimal(str(quantity)), events=F("events") + 1
    )
    if closed:
        roll_up_to(bucket + HOUR + timedelta(minutes=2))


def roll_up_to(at):
    mark, _ = Watermark.objects.get_or_create(name="rollup", defaults={"xid": 1})
    mark.moved_at = max(at, mark.moved_at or at)
    mark.save()


def report(clock):
    usage_reports.plan_reports(clock=clock)
    return usage_sending.send_due(clock=clock)


def at_stripe(link, stripe_customer_id, *, start=NOON, hours=1):
    """What Stripe's summary says of the time."""
    return usage_sending.read_summary(link, stripe_customer_id, start, start + hours * HOUR)


def states():
    rows = UsageReport.objects.order_by("bucket", "version")
    return [(row.kind, row.quantity, row.state) for row in rows]
