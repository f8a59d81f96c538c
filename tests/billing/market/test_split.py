"""Money is divided without a cent lost, in every currency that Stripe knows."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.market.balances import payable_of
from billing.market.split import Parts, part_of, sale_parts, shares, taken_back
from billing.money import (
    WITH_THREE_DECIMALS,
    WITHOUT_DECIMALS,
    NotAnAmount,
    decimals_of,
    minor_of,
    shown,
    step_of,
    typed,
)
from sandbox import money as at_stripe

# All that Stripe charges in.
STRIPES = """
usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn
bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf
gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr
lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen
pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd
top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw
"""
CURRENCIES = sorted(STRIPES.split())
amounts = st.integers(min_value=1, max_value=99_999_999)
# The suite's examples are the same each time; `HYPOTHESIS_PROFILE=long` looks further.
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "")
examples = settings(
    max_examples=5_000 if PROFILE else 30,
    deadline=None,
    database=None,
    derandomize=not PROFILE,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def sales(draw):
    """A captured payment of several lines, one of them perhaps a credit."""
    step = step_of(draw(st.sampled_from(CURRENCIES)))
    totals = draw(st.lists(st.integers(-500, 9_999_999), min_size=1, max_size=6))
    totals[0] = abs(totals[0]) + sum(abs(total) for total in totals[1:]) + 1
    grosses = [total * step for total in totals]
    taxes = [draw(st.integers(0, gross)) if gross > 0 else 0 for gross in grosses]
    points = draw(st.integers(0, 10_000))
    fees = shares(draw(st.integers(0, 5_000)), grosses)
    lines = zip(grosses, taxes, fees, strict=True)
    return [
        sale_parts(gross=gross, tax=tax, basis_points=points, stripe_fee=fee)
        for gross, tax, fee in lines
    ]


@examples
@given(amounts, st.lists(st.integers(0, 9_999), min_size=1, max_size=8).filter(any))
def test_shares_add_up_to_the_total_and_are_fair(total, weights):
    found = shares(total, weights)

    assert sum(found) == total
    exact = [total * weight / sum(weights) for weight in weights]
    assert all(abs(got - want) < 1.000001 for got, want in zip(found, exact, strict=True))


def test_shares_of_equal_weights_differ_by_one_at_most():
    assert shares(100, [1, 1, 1]) == [34, 33, 33]


def test_shares_of_a_credit_are_negative():
    assert shares(1000, [1500, -500]) == [1500, -500]


def test_weights_of_nothing_divide_nothing():
    with pytest.raises(ValueError, match="add up to nothing"):
        shares(100, [5, -5])


@examples
@given(sales())
def test_earnings_and_what_others_keep_are_the_gross(sale):
    for parts in sale:
        kept = parts.tax_minor + parts.commission_minor + parts.stripe_fee_minor
        assert parts.net_minor + kept == parts.gross_minor


@examples
@given(sales(), st.data())
def test_refunds_of_any_number_and_size_take_back_the_sale_exactly(sale, data):
    captured = sum(parts.gross_minor for parts in sale)
    ends = data.draw(st.lists(st.integers(0, captured), max_size=5))
    for parts in sale:
        back, before = Parts(), Parts()
        for taken in [*sorted(ends), captured]:
            now = taken_back(parts, taken, captured)
            back, before = back + (now - before), now
        assert parts - back == Parts()


@examples
@given(st.integers(-9_999_999, 9_999_999), amounts, st.integers(0, 10_000))
def test_a_part_is_within_half_a_unit_of_its_share(amount, total, points):
    taken = total * points // 10_000

    assert abs(part_of(amount, taken, total) * total - amount * taken) * 2 <= total


def test_every_currency_is_counted_as_stripe_counts_it():
    assert set(CURRENCIES) >= WITHOUT_DECIMALS | WITH_THREE_DECIMALS
    for currency in CURRENCIES:
        assert decimals_of(currency) == at_stripe.decimals(currency)
        assert step_of(currency) == at_stripe.step(currency)
        assert payable_of(123_456, currency) % at_stripe.step(currency, to_bank=True) == 0


@examples
@given(st.sampled_from(CURRENCIES), st.integers(0, 9_999_999))
def test_an_amount_is_read_as_it_was_written(currency, whole):
    amount = whole * step_of(currency)

    assert minor_of(typed(amount, currency), currency) == amount
    assert shown(-amount, currency).removeprefix("-") == shown(amount, currency)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("5", "ugx", 500), ("5.00", "isk", 500), ("5", "jpy", 5), ("5.1", "huf", 510)],
)
def test_whole_units_are_sent_in_hundredths_where_stripe_wants_it(text, currency, minor):
    assert minor_of(text, currency) == minor


@pytest.mark.parametrize("currency", ["isk", "ugx"])
def test_parts_of_a_unit_that_nobody_can_pay_are_refused(currency):
    with pytest.raises(NotAnAmount, match="whole units only"):
        minor_of("5.50", currency)


def test_commission_is_taken_after_tax():
    parts = sale_parts(gross=1190, tax=190, basis_points=2000, stripe_fee=64)

    assert parts.commission_minor == 200
    assert parts.net_minor == 1190 - 190 - 200 - 64
