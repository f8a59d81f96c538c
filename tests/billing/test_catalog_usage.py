"""Meters and metered prices: file, tables and Stripe say the same, and checkout sells them."""

from decimal import Decimal

import pytest

from billing import catalog, gateway
from billing.catalog_file import dump_catalog, parse_catalog
from billing.catalog_places import CatalogMistake
from billing.catalog_spec import MeterSpec, Tier, UsageTerms
from billing.checkout import Wish, start_checkout
from billing.models import CheckoutMode, MeterLink, Price
from billing.on_sale import find_price
from billing.prices import price_text
from metering.models import Meter, UsageTotal
from tests.conftest import NOON

FILE = """\
projects:
  journal:
    name: Journal
    features:
      pro: {}
      calls: {kind: limit}
    meters:
      calls: {name: Calls, unit: call, aggregation: count, feature: calls, stripe_event_name: calls}
      tokens: {dimensions: [model], thresholds: [50]}
    plans:
      pro:
        features: {pro: true, calls: {limit: unlimited, enforcement: soft}}
        prices:
          - {amount_minor: 1000, currency: usd, interval: month}
          - {meter: calls, amount_decimal: "0.05", currency: usd, interval: month}
"""
TIERS = "tiers: [{up_to: 100, amount_minor: 0}, {up_to: inf, amount_decimal: '0.50'}]"
USAGE = 'amount_decimal: "0.05"'


def read(text=FILE):
    return parse_catalog(text)[0]


def push(text=FILE):
    return catalog.push(project=read(text), actor="system", clock=lambda: NOON).changes


def metered():
    return Price.objects.get(kind="metered", active=True)


def test_a_file_names_meters_and_what_usage_costs():
    project = read()
    terms = project.plans[0].prices[1].terms

    assert project.meters == (
        MeterSpec("calls", "Calls", "call", "count", "", "calls", stripe_event_name="calls"),
        MeterSpec("tokens", dimensions=("model",), thresholds=(50,)),
    )
    assert (terms.kind, terms.usage) == ("metered", UsageTerms("calls", unit_amount="0.05"))
    assert project.plans[0].prices[1].lookup_key == "journal_pro_month_usd_calls"


@pytest.mark.parametrize("cost", [USAGE, TIERS, "amount_minor: 200, divide_by: 1000"])
def test_what_is_dumped_reads_the_same(cost):
    projects = parse_catalog(FILE.replace(USAGE, cost))

    assert parse_catalog(dump_catalog(projects)) == projects


def test_tiers_are_exact():
    usage = read(FILE.replace(USAGE, TIERS)).plans[0].prices[1].terms.usage

    assert usage.tiers == (Tier(100), Tier(None, "0.5"))
    assert usage.tiers_mode == "graduated"


MISTAKES = {
    "a price of a meter that is not there": (
        "meter: calls",
        "meter: letters",
        "no meter 'letters'",
    ),
    "two ways to say the amount": (USAGE, "amount_minor: 1, " + USAGE, "give one of"),
    "an amount without quotes": (USAGE, "amount_decimal: 0.05", "must be text"),
    "a negative amount": (USAGE, 'amount_decimal: "-1"', "must be a decimal"),
    "too many decimals": (USAGE, 'amount_decimal: "0.0000000000001"', "more than 12 decimals"),
    "tiers without an end": (USAGE, "tiers: [{up_to: 5, amount_minor: 1}]", "the last tier"),
    "tiers out of order": (
        USAGE,
        "tiers: [{up_to: 5}, {up_to: 5}, {up_to: inf}]",
        "reaches further",
    ),
    "a meter of no feature": ("feature: calls", "feature: letters", "no feature 'letters'"),
    "usage of a price in advance": ("1000,", "1000, divide_by: 5,", "only a price with a `meter`"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told(mistake):
    old, new, told = MISTAKES[mistake]

    with pytest.raises(CatalogMistake) as refusal:
        parse_catalog(FILE.replace(old, new, 1))

    assert told in refusal.value.message


@pytest.mark.django_db(transaction=True)
def test_push_makes_the_meter_and_its_price_at_stripe(stripe_world):
    push()

    link = MeterLink.objects.get()
    price = metered()
    found = gateway.read(f"/v1/prices/{price.stripe_price_id}")
    at_stripe = gateway.read(f"/v1/billing/meters/{link.stripe_meter_id}")
    assert (at_stripe["event_name"], at_stripe["default_aggregation"]["formula"]) == (
        "calls",
        "sum",
    )
    assert found["recurring"]["meter"] == link.stripe_meter_id
    assert (found["unit_amount"], Decimal(found["unit_amount_decimal"])) == (None, Decimal("0.05"))
    assert (price.meter, price.amount_minor) == (Meter.objects.get(code="calls"), 0)
    assert price_text(price) == "0.0005 USD per call, billed per month"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cost", [USAGE, TIERS, "amount_minor: 200, divide_by: 1000"])
def test_nothing_differs_after_a_push(stripe_world, cost):
    text = FILE.replace(USAGE, cost)
    assert "create meter calls" in " ".join(map(str, catalog.diff(project=read(text))))

    push(text)

    assert catalog.diff(project=read(text)) == []
    assert push(text) == []


@pytest.mark.django_db(transaction=True)
def test_another_amount_of_usage_is_another_price(stripe_world):
    push()
    old = metered()

    push(FILE.replace("0.05", "0.06"))

    old.refresh_from_db()
    assert (old.active, metered().usage_terms["unit_amount"]) == (False, "0.06")
    assert MeterLink.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_pull_shows_meters_and_metered_prices(stripe_world):
    push()

    spec, changes = catalog.pull(project=metered().project, at=NOON)

    assert changes == []
    assert spec.meters == read().meters
    assert spec.plans[0].prices[1].terms == read().plans[0].prices[1].terms


@pytest.mark.django_db(transaction=True)
def test_a_meter_that_was_switched_off_at_stripe_is_switched_on(stripe_world):
    push()
    path = f"/v1/billing/meters/{MeterLink.objects.get().stripe_meter_id}"
    gateway.write(f"{path}/deactivate", {}, idempotency_key="t:off")

    [change] = push()

    assert str(change) == "stripe: reactivate meter calls"
    assert gateway.read(path)["status"] == "active"


@pytest.mark.django_db(transaction=True)
def test_a_meter_of_another_formula_is_told_and_left(stripe_world):
    meter = {"display_name": "C", "event_name": "calls", "default_aggregation": {"formula": "last"}}
    gateway.write("/v1/billing/meters", meter, idempotency_key="t:meter")

    with pytest.raises(CatalogMistake, match="has the formula last"):
        push()


@pytest.mark.django_db(transaction=True)
def test_a_lost_answer_makes_one_meter(stripe_world):
    stripe_world.faults.add("POST /v1/billing/meters", "reset_after", times=1)
    with pytest.raises(catalog.PushUnfinished):
        push()

    push()

    assert len(gateway.read_all("/v1/billing/meters")) == 1
    assert MeterLink.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_meter_that_has_counted_keeps_its_kind(stripe_world, alice):
    push()
    meter = Meter.objects.get(code="calls")
    UsageTotal.objects.create(
        project=meter.project, meter=meter, consumer=alice, grain="hour", bucket=NOON
    )

    with pytest.raises(CatalogMistake, match="has counted usage as count"):
        push(FILE.replace("aggregation: count", "aggregation: sum"))

    assert Meter.objects.get(code="calls").aggregation == "count"


@pytest.mark.django_db(transaction=True)
def test_an_event_name_belongs_to_one_meter_of_all_projects(stripe_world):
    push()

    with pytest.raises(CatalogMistake, match="is that of the meter 'calls' of journal"):
        push(FILE.replace("  journal:", "  diary:"))


@pytest.mark.django_db(transaction=True)
def test_a_plan_is_sold_with_its_usage_and_no_quantity_of_it(stripe_world, journal, alice):
    push()
    price = find_price(project=journal, plan_code="pro")
    wish = Wish(alice, price, CheckoutMode.SUBSCRIPTION, quantity=3)

    checkout = start_checkout(wish=wish, actor="system", at=NOON)

    path = f"/v1/checkout/sessions/{checkout.stripe_session_id}/line_items"
    sold = {line["price"]["id"]: line["quantity"] for line in gateway.read_all(path)}
    assert price.kind == "recurring"
    assert sold == {price.stripe_price_id: 3, metered().stripe_price_id: None}


@pytest.mark.django_db(transaction=True)
def test_usage_alone_is_sold_as_a_subscription(stripe_world, journal, alice):
    push(FILE.replace("          - {amount_minor: 1000, currency: usd, interval: month}\n", ""))
    wish = Wish(alice, find_price(project=journal, plan_code="pro"), CheckoutMode.SUBSCRIPTION)

    checkout = start_checkout(wish=wish, actor="system", at=NOON)

    path = f"/v1/checkout/sessions/{checkout.stripe_session_id}/line_items"
    assert [line["quantity"] for line in gateway.read_all(path)] == [None]
