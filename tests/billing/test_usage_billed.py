"""Usage from its total to the cents of an invoice, and back from Stripe's summaries."""

import json

import pytest

from billing import catalog, gateway
from billing.catalog_file import parse_catalog
from billing.models import Invoice, MeterLink, Price, StripeCustomer, UsageReport
from billing.usage_compare import compare_usage
from metering.models import Meter
from tests.billing.subscribers import follow, subscribe
from tests.billing.usage_cast import HOUR, at_stripe, count, customer, link_meter, report, states
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)

FILE = """
projects:
  journal:
    meters:
      calls: {stripe_event_name: calls}
    plans:
      pro:
        prices:
          - {meter: calls, amount_decimal: "0.25", currency: usd, interval: month}
"""


def test_what_was_used_is_billed_to_the_cent(alice, journal, clock):
    catalog.push(project=parse_catalog(FILE)[0], actor="system", clock=clock)
    subscribe(alice, Price.objects.get(), clock)
    link = MeterLink.objects.get()
    for hour, quantity in enumerate((1000, 1, 250)):
        count(alice, link, quantity, bucket=NOON + hour * HOUR)
        clock.advance(hours=1, minutes=5)
        report(clock)

    clock.advance(days=31)
    follow(StripeCustomer.objects.get(), clock)

    [line] = gateway.read(f"/v1/invoices/{Invoice.objects.latest('created_at').stripe_invoice_id}")[
        "lines"
    ]["data"]
    assert (line["quantity"], line["amount"]) == (1251, 313)  # 312.75
    assert Invoice.objects.latest("created_at").paid_minor == 313


def test_the_last_hour_of_a_period_is_on_its_invoice(alice, journal, clock):
    catalog.push(project=parse_catalog(FILE)[0], actor="system", clock=clock)
    row = subscribe(alice, Price.objects.get(), clock)
    link, end = MeterLink.objects.get(), row.current_period_end
    clock.advance(seconds=(end - clock()).total_seconds() + 300)
    follow(StripeCustomer.objects.get(), clock)
    count(alice, link, 400, bucket=end - HOUR)  # the hour before noon, told five minutes later
    report(clock)

    clock.advance(hours=1)
    follow(StripeCustomer.objects.get(), clock)

    assert Invoice.objects.latest("created_at").total_minor == 100


@pytest.fixture
def told(alice, journal, clock):
    """A day with 12 units told to Stripe is over."""
    link = link_meter(journal)
    customer(alice)
    clock.advance(hours=2, minutes=5)
    count(alice, link, 5)
    count(alice, link, 7, bucket=NOON + HOUR)
    report(clock)
    clock.advance(hours=12)
    return link


def test_a_day_that_agrees_is_compared_once(told, clock, stripe_world):
    assert compare_usage(clock=clock) == 0
    before = stripe_world.counters.snapshot()

    assert compare_usage(clock=clock) == 0
    assert stripe_world.counters.snapshot() == before
    assert UsageReport.objects.filter(compared_at=clock()).count() == 2


def test_a_day_that_differs_stays_so_until_it_agrees(told, clock):
    path = "/v1/billing/meter_event_adjustments"
    first = UsageReport.objects.earliest("bucket")
    cancel = {"event_name": "calls", "type": "cancel", "cancel": {"identifier": first.identifier}}
    gateway.write(path, cancel, idempotency_key="t:cancel")

    assert compare_usage(clock=clock) == 1
    first.refresh_from_db()
    assert first.difference == "Stripe counted 7 on 2026-03-01; it was told 12."

    payload = {"stripe_customer_id": first.stripe_customer_id, "value": "5"}
    event = {"event_name": "calls", "payload": payload, "timestamp": int(NOON.timestamp())}
    gateway.write("/v1/billing/meter_events", event, idempotency_key="t:again")
    assert compare_usage(clock=clock) == 0
    first.refresh_from_db()
    assert (first.difference, first.compared_at) == ("", clock())


def test_a_day_is_not_compared_while_something_is_on_its_way(alice, told, clock, stripe_world):
    stripe_world.faults.add("POST /v1/billing/meter_events", "reset_after", times=1)
    count(alice, told, 3, bucket=NOON - HOUR)
    from billing.usage_reports import ALL, plan_reports
    from billing.usage_sending import send_due

    plan_reports(clock=clock, back=ALL)
    send_due(clock=clock)

    assert compare_usage(clock=clock) == 0
    assert not UsageReport.objects.exclude(compared_at=None).exists()


def test_totals_reports_and_stripe_say_the_same_from_the_events_on(alice, journal, clock):
    from metering import rollup
    from metering.ingest import record
    from metering.wire import parse

    link = link_meter(journal)
    buyer = customer(alice)
    clock.advance(minutes=30)
    events = [
        {"id": f"e{n}", "meter": "calls", "user_id": alice.external_id, "quantity": n}
        for n in range(1, 21)
    ]
    body = json.dumps({"events": events}).encode()
    given = parse(body, content_type="application/json", headers={})
    record(project=journal, events=given.events, at=clock())
    clock.advance(minutes=35)
    rollup.roll_up(clock=clock)

    report(clock)

    assert at_stripe(link, buyer) == sum(range(1, 21))
    assert states() == [("event", 210, "done")]
    assert Meter.objects.get().code == "calls"
