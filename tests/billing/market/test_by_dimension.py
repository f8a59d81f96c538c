"""Money of sales by use, by what the usage was made of: nothing is lost and nothing made up."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.market.by_dimension import Group, divided
from billing.market.split import Parts, part_of
from billing.models import Earning
from metering.models import Meter, UsageTotal
from tests.billing.market.money_cast import Till, line, price_of
from tests.billing.market.test_split import CURRENCIES, examples, sales
from tests.conftest import NOON
from tests.metering.usage import use

DAY = timedelta(days=1)
PATH = "/api/v1/apis/weather/earnings?from=2026-02-01&to=2026-03-05&dimension=region"
MONEY = ("sales_minor", "taken_back_minor", "tax_minor", "commission_minor", "net_minor")


@pytest.fixture
def calls(journal):
    return Meter.objects.create(
        project=journal, code="calls", aggregation="sum", dimensions=["region"]
    )


@pytest.fixture
def till(alice, weather_plan, calls, fifth):
    price_of(weather_plan, "price_use", kind="metered", meter=calls, amount_minor=0)
    price_of(weather_plan, "price_fixed")
    return Till(alice)


def counted(meter, consumer, api, region, quantity, at=NOON - DAY):
    UsageTotal.objects.create(
        project=meter.project,
        meter=meter,
        consumer=consumer,
        api=api,
        dims={"region": region} if region else {},
        grain="hour",
        bucket=at,
        quantity=quantity,
        events=1,
    )


def billed(price, amount, days=30, tax=0):
    """A line that bills the days up to NOON."""
    start, end = NOON - days * DAY, NOON
    period = {"start": int(start.timestamp()), "end": int(end.timestamp())}
    return {**line(price, amount, tax), "period": period}


def shown(api, path=PATH):
    found = api.get(path).json()
    for name in MONEY:
        for total in found["totals"]:
            rows = [row for row in found["data"] if row["currency"] == total["currency"]]
            assert sum(row[name] for row in rows) == total[name]
    return {(row["group"], row["not_split"]): row["net_minor"] for row in found["data"]}


def test_a_sale_by_use_is_shared_as_it_was_used(api, till, calls, alice, bob, weather):
    counted(calls, alice, weather, "eu", 50)
    counted(calls, alice, weather, "us", 25)
    counted(calls, alice, weather, "", 15)
    counted(calls, alice, None, "eu", 10)
    counted(calls, alice, weather, "eu", 999, at=NOON)  # of the next period
    counted(calls, bob, weather, "eu", 999)

    till.pay(billed("price_use", 1000), billed("price_fixed", 500))

    assert shown(api) == {
        ("eu", ""): 400,
        ("us", ""): 200,
        ("", ""): 120,
        ("", "other_api"): 80,
        ("", "fixed_price"): 400,
    }


def test_what_was_used_but_not_rolled_up_counts(api, till, calls, alice, weather):
    counted(calls, alice, weather, "eu", 3)
    use(calls, alice, "e1", 1, at=NOON - DAY, properties='{"region": "us"}')

    till.pay(billed("price_use", 1000))

    assert shown(api) == {("eu", ""): 600, ("", "other_api"): 200}


def test_a_full_refund_leaves_nothing_for_anybody(api, till, calls, alice, weather):
    for region in ("eu", "us", "asia"):
        counted(calls, alice, weather, region, 1)
    payment = till.pay(billed("price_use", 1000, tax=71))

    for amount in (333, 333, 334 + 71):
        till.give_back(payment, amount)

    assert set(shown(api).values()) == {0}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"aggregation": "max"}, "meter"),
        ({"dimensions": ["model"]}, "dimension"),
        ({}, "no_usage"),
    ],
)
def test_what_cannot_be_shared_says_why(api, till, calls, change, reason):
    Meter.objects.filter(pk=calls.pk).update(**change)

    till.pay(billed("price_use", 1000))

    assert shown(api) == {("", reason): 800}


def test_a_line_without_its_period_says_so(api, till, calls, alice, weather):
    counted(calls, alice, weather, "eu", 1)

    till.pay(line("price_use", 1000))

    assert shown(api) == {("", "period"): 800}
    rows = b"".join(api.get(PATH, headers={"Accept": "text/csv"})).decode().splitlines()
    assert (rows[0].split(",")[-1], rows[1].split(",")[-1]) == ("not_split", "period")


def earning(parts, kind, currency):
    return Earning(
        kind=kind,
        currency=currency,
        gross_minor=parts.gross_minor,
        tax_minor=parts.tax_minor,
        commission_minor=parts.commission_minor,
        stripe_fee_minor=parts.stripe_fee_minor,
    )


@examples
@given(
    sales(),
    st.lists(st.integers(1, 10**15), min_size=1, max_size=6),
    st.lists(st.integers(0, 100), max_size=4),
    st.sampled_from(CURRENCIES),
)
def test_parts_sum_to_each_line_and_refunds_reverse_exactly(sale, used, steps, currency):
    whole = sale[0]
    left = [
        Parts(*(one - part_of(one, step, 100) for one in vars(whole).values()))
        for step in [0, *sorted(steps), 100]
    ]
    lines = [earning(whole, "sale", currency)]
    lines += [earning(after - before, "refund", currency) for before, after in pairwise(left)]
    weights = {Group("", str(place)): weight for place, weight in enumerate(used)}

    found = list(divided(lines, weights))

    for one in lines:
        parts = [part for line_, _, part in found if line_ is one]
        assert sum(part.gross_minor for part in parts) == one.gross_minor
        assert sum(part.net_minor for part in parts) == earning_net(one)
    for group in weights:
        rest = sum((part for _, of, part in found if of == group), Parts())
        assert rest == Parts()


def earning_net(one):
    return one.gross_minor - one.tax_minor - one.commission_minor - one.stripe_fee_minor
