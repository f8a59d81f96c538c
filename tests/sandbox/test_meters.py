"""Meters, their events, and the invoices that bill what was used."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import NOON
from tests.sandbox.shop import pay, sell

AT = int(NOON.timestamp())
HOUR, DAY = 3600, 86_400


@pytest.fixture
def meter(client: Any) -> Any:
    return client.billing.meters.create(
        {
            "display_name": "Calls",
            "event_name": "calls",
            "default_aggregation": {"formula": "sum"},
        }
    )


@pytest.fixture
def metered(client: Any, product: Any, meter: Any) -> Callable[..., Any]:
    """Makes a monthly price of the meter; a fraction of a cent per call unless told otherwise."""

    def make(**terms: Any) -> Any:
        recurring = {"interval": "month", "usage_type": "metered", "meter": meter.id}
        amount = {} if terms else {"unit_amount_decimal": "0.25"}
        return client.prices.create(
            {"product": product.id, "currency": "usd", "recurring": recurring, **amount, **terms}
        )

    return make


@pytest.fixture
def use(client: Any) -> Callable[..., Any]:
    """Tells the meter that the customer used so much."""

    def tell(customer: Any, value: Any, *, at: int | None = None, identifier: str = "") -> Any:
        given = {"event_name": "calls"}
        given["payload"] = {"stripe_customer_id": customer.id, "value": str(value)}
        if at is not None:
            given["timestamp"] = at
        if identifier:
            given["identifier"] = identifier
        return client.billing.meter_events.create(given)

    return tell


def subscribe(client: Any, customer: Any, *prices: Any, **more: Any) -> Any:
    items = [{"price": price.id} for price in prices]
    return client.subscriptions.create({"customer": customer.id, "items": items, **more})


def sums(client: Any, meter: Any, customer: Any, **more: Any) -> list[tuple[int, float]]:
    given = {"customer": customer.id, "start_time": AT - DAY, "end_time": AT + DAY, **more}
    found = client.billing.meters.event_summaries.list(meter.id, given)
    return [(one.start_time, one.aggregated_value) for one in found.data]


def lines_of(client: Any, customer: Any) -> list[tuple[int, int]]:
    """(quantity, amount) of each line of the newest invoice."""
    invoice = client.invoices.list({"customer": customer.id}).data[0]
    return [(line.quantity, line.amount) for line in invoice.lines.data]


def test_a_meter_is_made_renamed_and_listed(client, meter):
    client.billing.meters.update(meter.id, {"display_name": "API calls"})

    [found] = client.billing.meters.list({"status": "active"}).data
    assert (found.id, found.display_name, found.event_name) == (meter.id, "API calls", "calls")
    assert found.customer_mapping.event_payload_key == "stripe_customer_id"


def test_an_event_name_belongs_to_one_active_meter(client, meter):
    wanted = {"display_name": "Other", "event_name": "calls"}
    wanted["default_aggregation"] = {"formula": "count"}

    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        client.billing.meters.create(wanted)


def test_a_deactivated_meter_takes_no_events_until_it_is_back(client, meter, buyer, use):
    customer = buyer()
    client.billing.meters.deactivate(meter.id)

    with pytest.raises(stripe.InvalidRequestError, match="No active meter found"):
        use(customer, 1)

    client.billing.meters.reactivate(meter.id)
    use(customer, 1)
    assert sums(client, meter, customer) == [(AT - DAY, 1)]


def test_an_identifier_counts_once_within_a_day(client, meter, buyer, use, sandbox):
    customer = buyer()
    use(customer, 5, identifier="report-1")

    with pytest.raises(stripe.InvalidRequestError, match="already exists with identifier report-1"):
        use(customer, 5, identifier="report-1")

    assert sums(client, meter, customer) == [(AT - DAY, 5)]
    sandbox.advance(timedelta(hours=25))
    use(customer, 5, identifier="report-1")
    assert sums(client, meter, customer, end_time=AT + 2 * DAY) == [(AT - DAY, 10)]


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(-35 * DAY - 1, "timestamp_too_far_in_past"), (301, "timestamp_in_future")],
)
def test_a_time_out_of_range_is_refused(client, meter, buyer, use, seconds, code):
    customer = buyer()

    with pytest.raises(stripe.InvalidRequestError) as refusal:
        use(customer, 1, at=AT + seconds)

    assert (refusal.value.code, sums(client, meter, customer)) == (code, [])
    use(customer, 1, at=AT - 35 * DAY)
    use(customer, 1, at=AT + 300)


@pytest.mark.parametrize("value", ["", "1.5", "ten", "1e3", "9" * 16])
def test_only_whole_numbers_are_taken(meter, buyer, use, value):
    with pytest.raises(stripe.InvalidRequestError, match="whole number"):
        use(buyer(), value)


def test_an_unknown_customer_or_event_name_is_refused(client, meter):
    payload = {"stripe_customer_id": "cus_nobody", "value": "1"}

    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.billing.meter_events.create({"event_name": "calls", "payload": payload})
    with pytest.raises(stripe.InvalidRequestError, match="No active meter found"):
        client.billing.meter_events.create({"event_name": "letters", "payload": payload})


def test_an_event_is_cancelled_within_a_day_and_once(client, meter, buyer, use, sandbox):
    customer = buyer()
    use(customer, 5, identifier="wrong")
    use(customer, 2, identifier="old")
    cancel = {"event_name": "calls", "type": "cancel", "cancel": {"identifier": "wrong"}}

    client.billing.meter_event_adjustments.create(cancel)

    assert sums(client, meter, customer) == [(AT - DAY, 2)]
    with pytest.raises(stripe.InvalidRequestError, match="cancelled already"):
        client.billing.meter_event_adjustments.create(cancel)
    sandbox.advance(timedelta(hours=25))
    with pytest.raises(stripe.InvalidRequestError, match="within 24 hours"):
        client.billing.meter_event_adjustments.create({**cancel, "cancel": {"identifier": "old"}})


def test_summaries_come_by_hour_newest_first_and_aligned(client, meter, buyer, use):
    customer = buyer()
    for value, at in ((1, AT - 1), (2, AT), (3, AT + 200)):
        use(customer, value, at=at)

    by_hour = sums(client, meter, customer, value_grouping_window="hour", start_time=AT - HOUR)

    assert by_hour == [(AT, 5), (AT - HOUR, 1)]
    with pytest.raises(stripe.InvalidRequestError, match="aligned with hour"):
        sums(client, meter, customer, value_grouping_window="hour", start_time=AT + 60)
    with pytest.raises(stripe.InvalidRequestError, match="aligned with minute"):
        sums(client, meter, customer, start_time=AT + 1)


@pytest.mark.parametrize(("formula", "value"), [("sum", 12), ("count", 3), ("last", 4)])
def test_a_meter_adds_up_as_its_formula_says(client, buyer, formula, value):
    meter = client.billing.meters.create(
        {
            "display_name": "M",
            "event_name": formula,
            "default_aggregation": {"formula": formula},
        }
    )
    customer = buyer()
    for place, used in enumerate((5, 3, 4)):
        payload = {"stripe_customer_id": customer.id, "value": str(used)}
        given = {"event_name": formula, "payload": payload, "timestamp": AT - 10 + place}
        client.billing.meter_events.create(given)

    assert sums(client, meter, customer) == [(AT - DAY, value)]


def test_a_metered_price_needs_an_active_meter(client, product, meter):
    terms = {"product": product.id, "currency": "usd", "unit_amount": 1}
    without = {"interval": "month", "usage_type": "metered"}

    with pytest.raises(stripe.InvalidRequestError, match="backed by a meter"):
        client.prices.create({**terms, "recurring": without})
    client.billing.meters.deactivate(meter.id)
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        client.prices.create({**terms, "recurring": {**without, "meter": meter.id}})


def test_usage_is_billed_when_its_period_ends(client, buyer, metered, monthly, use, sandbox):
    customer = buyer()
    subscribe(client, customer, monthly(1000), metered())
    assert lines_of(client, customer) == [(1, 1000), (0, 0)]

    use(customer, 1001)
    use(customer, 1, at=AT - 1)  # before the period
    sandbox.advance(timedelta(days=31, hours=2))

    assert lines_of(client, customer) == [(1, 1000), (1001, 250)]
    sandbox.advance(timedelta(days=28))
    assert lines_of(client, customer) == [(1, 1000), (0, 0)]


def test_usage_told_while_the_invoice_is_a_draft_is_billed(client, buyer, metered, use, sandbox):
    customer = buyer()
    subscription = subscribe(client, customer, metered())
    end = subscription["items"].data[0].current_period_end
    use(customer, 400)
    sandbox.advance(timedelta(seconds=end - AT + 1800))
    use(customer, 400, at=end - 1)
    use(customer, 7, at=end)

    sandbox.advance(timedelta(hours=1))

    invoice = client.invoices.list({"customer": customer.id}).data[0]
    assert (invoice.status, invoice.amount_paid) == ("paid", 200)
    assert lines_of(client, customer) == [(800, 200)]


TIERS = [{"up_to": 100, "unit_amount": 0}, {"up_to": 1000, "unit_amount_decimal": "1.5"}]
TIERS.append({"up_to": "inf", "unit_amount": 1, "flat_amount": 500})


@pytest.mark.parametrize(
    ("mode", "used", "amount"),
    [
        ("graduated", 100, 0),
        ("graduated", 1000, 1350),
        ("graduated", 1200, 2050),
        ("volume", 1000, 1500),
        ("volume", 1200, 1700),
    ],
)
def test_tiers_price_what_was_used(client, buyer, metered, use, sandbox, mode, used, amount):
    customer = buyer()
    subscribe(client, customer, metered(billing_scheme="tiered", tiers_mode=mode, tiers=TIERS))
    use(customer, used)

    sandbox.advance(timedelta(days=31, hours=2))

    assert lines_of(client, customer) == [(used, amount)]


def test_packages_are_rounded_as_told(client, buyer, metered, use, sandbox):
    customer = buyer()
    packages = {"divide_by": 1000, "round": "up"}
    subscribe(client, customer, metered(unit_amount=200, transform_quantity=packages))
    use(customer, 2001)

    sandbox.advance(timedelta(days=31, hours=2))

    assert lines_of(client, customer) == [(2001, 600)]


def test_a_negative_balance_of_usage_bills_nothing(client, buyer, metered, use, sandbox):
    customer = buyer()
    subscribe(client, customer, metered())
    use(customer, 10)
    use(customer, -30)

    sandbox.advance(timedelta(days=31, hours=2))

    assert lines_of(client, customer) == [(0, 0)]


def test_the_next_invoice_shows_the_usage_so_far(client, buyer, metered, monthly, use):
    customer = buyer()
    subscription = subscribe(client, customer, monthly(1000), metered())
    use(customer, 800)

    preview = client.invoices.create_preview({"subscription": subscription.id})

    assert [(line.quantity, line.amount) for line in preview.lines.data] == [(1, 1000), (800, 200)]


def test_what_was_used_in_a_trial_costs_nothing(client, buyer, metered, use, sandbox):
    customer = buyer()
    subscribe(client, customer, metered(), trial_period_days=7)
    use(customer, 800)

    sandbox.advance(timedelta(days=7, hours=2))

    assert lines_of(client, customer) == [(0, 0)]


def test_the_last_usage_is_billed_when_the_subscription_ends(client, buyer, metered, use, sandbox):
    customer = buyer()
    subscribe(client, customer, metered(), cancel_at_period_end=True)
    use(customer, 800)

    sandbox.advance(timedelta(days=31, hours=2))

    assert lines_of(client, customer) == [(800, 200)]


def test_cancelling_now_with_an_invoice_bills_the_usage(client, buyer, metered, use, sandbox):
    customer = buyer()
    subscription = subscribe(client, customer, metered())
    use(customer, 800)
    sandbox.advance(timedelta(hours=1))

    client.subscriptions.cancel(subscription.id, {"invoice_now": True})

    assert lines_of(client, customer) == [(800, 200)]


def test_a_change_of_interval_bills_what_was_used_before(
    client, buyer, product, meter, metered, use, sandbox
):
    customer = buyer()
    subscription = subscribe(client, customer, metered())
    use(customer, 800)
    sandbox.advance(timedelta(days=3))
    yearly = client.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": 1,
            "recurring": {"interval": "year", "usage_type": "metered", "meter": meter.id},
        }
    )
    item = {"id": subscription["items"].data[0].id, "price": yearly.id}

    client.subscriptions.update(subscription.id, {"items": [item]})

    assert lines_of(client, customer) == [(800, 200), (0, 0)]


def test_checkout_sells_a_metered_price_without_a_quantity(client, sandbox, metered):
    price = metered().id
    with pytest.raises(stripe.InvalidRequestError, match="Quantity should not be specified"):
        sell(client, price)

    session = sell(client, price, line_items=[{"price": price}])
    pay(sandbox, session)

    done = client.checkout.sessions.retrieve(session.id)
    [item] = client.subscriptions.retrieve(done.subscription)["items"].data
    assert (done.status, done.amount_total, item.price.id) == ("complete", 0, price)


def test_a_test_clock_bills_usage_of_its_own_time(client, sandbox, metered, use):
    clock = client.test_helpers.test_clocks.create({"frozen_time": AT})
    customer = client.customers.create(
        {
            "test_clock": clock.id,
            "payment_method": "pm_card_visa",
            "invoice_settings": {"default_payment_method": "pm_card_visa"},
        }
    )
    subscribe(client, customer, metered())
    use(customer, 800)

    later = int(datetime(2026, 2, 15, 14, tzinfo=UTC).timestamp())
    client.test_helpers.test_clocks.advance(clock.id, {"frozen_time": later})

    assert lines_of(client, customer) == [(800, 200)]
    use(customer, 1, at=later)  # the future of every other clock
