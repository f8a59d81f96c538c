"""Sales, refunds and disputes of a creator's API become lines of the ledger, once and exactly."""

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Sum

from billing.models import ApiListing, Commission, Dispute, Earning, FeeBearer, MarketPolicy
from tests.billing.market.money_cast import Till, line, price_of
from tests.conftest import NOON

PRICE = "price_weather"


@pytest.fixture
def till(alice, weather_plan, fifth):
    price_of(weather_plan, PRICE)
    return Till(alice)


def balance(name="amount_minor", **which):
    return Earning.objects.filter(**which).aggregate(sum=Sum(name))["sum"]


def dispute_of(payment, amount, status="needs_response"):
    return Dispute.objects.create(
        project=payment.project,
        consumer=payment.consumer,
        payment=payment,
        stripe_dispute_id="du_1",
        status=status,
        amount_minor=amount,
        currency=payment.currency,
        created_at=NOON,
        synced_at=NOON,
    )


def test_a_sale_is_written_once_with_its_parts(till, alice):
    payment = till.pay(line(PRICE, 1000, tax=190))
    till.follow(payment)

    [sale] = Earning.objects.all()
    assert (sale.kind, sale.source, sale.consumer) == ("sale", "ch_1", alice)
    assert (sale.gross_minor, sale.tax_minor, sale.commission_minor) == (1190, 190, 200)
    assert (sale.amount_minor, sale.stripe_fee_minor, sale.api.code) == (800, 0, "weather")


def test_lines_of_nobodys_api_stay_with_the_platform(till, pro):
    price_of(pro, "price_pro")

    till.pay(line(PRICE, 1000), line("price_pro", 500), line("price_elsewhere", 77))

    assert balance("gross_minor") == 1000


def test_a_payment_before_the_listing_earns_nobody(till, weather):
    ApiListing.objects.filter(api=weather).update(created_at=NOON.replace(year=2027))

    till.pay(line(PRICE, 1000))

    assert not Earning.objects.exists()


def test_an_invoice_paid_partly_by_credit_shares_what_was_paid(till, pro):
    price_of(pro, "price_pro")

    till.pay(line(PRICE, 1000), line("price_pro", 2000), captured=100)

    assert balance("gross_minor") == 33


def test_an_invoice_of_500_lines_adds_up_to_the_cent(till, weather_plan):
    for number in range(20):
        price_of(weather_plan, f"price_{number}")

    till.pay(*(line(f"price_{number % 20}", 1 + number % 7) for number in range(500)), captured=999)

    assert balance("gross_minor") == 999
    assert Earning.objects.count() == 20


def test_a_full_refund_takes_everything_back(till):
    payment = till.pay(line(PRICE, 999, tax=7))

    till.give_back(payment, 1006)

    for name in ("amount_minor", "gross_minor", "tax_minor", "commission_minor"):
        assert balance(name) == 0


def test_partial_refunds_sum_to_the_whole(till):
    payment = till.pay(line(PRICE, 1000))

    for amount in (333, 333, 334):
        till.give_back(payment, amount)

    taken = Earning.objects.filter(kind="refund").order_by("pk")
    assert [(row.gross_minor, row.commission_minor) for row in taken] == [
        (-333, -67),
        (-333, -66),
        (-334, -67),
    ]
    assert balance() == 0


def test_a_refund_heard_of_twice_is_taken_once(till):
    payment = till.pay(line(PRICE, 1000))
    till.give_back(payment, 400)

    till.follow(payment)

    assert balance(kind="refund") == -320


def test_a_refund_that_fails_is_given_back(till):
    payment = till.pay(line(PRICE, 1000))
    first = till.give_back(payment, 333)
    till.give_back(payment, 333)
    first.status = "failed"
    first.save(update_fields=["status"])

    till.follow(payment)
    till.follow(payment)

    assert balance(kind="refund_failed") == 267
    assert balance() == 800 - 266  # as one refund of 333 would have left


def test_a_dispute_takes_and_its_win_gives_back(till):
    payment = till.pay(line(PRICE, 1000))
    dispute = dispute_of(payment, 1000)
    till.follow(payment)
    assert balance() == 0

    Dispute.objects.filter(pk=dispute.pk).update(status="won")
    till.follow(payment)

    assert balance() == balance(kind="dispute_won") == 800


def test_an_inquiry_takes_nothing(till):
    payment = till.pay(line(PRICE, 1000))
    dispute_of(payment, 1000, status="warning_needs_response")

    till.follow(payment)

    assert balance() == 800


def test_a_dispute_after_a_refund_never_takes_more_than_the_sale(till):
    payment = till.pay(line(PRICE, 1000))
    till.give_back(payment, 300)
    dispute_of(payment, 1000, status="lost")

    till.follow(payment)

    assert balance() == 0


def test_the_creator_bears_stripes_fee_where_the_project_says_so(till, journal):
    MarketPolicy.objects.create(project=journal, stripe_fee=FeeBearer.CREATOR)

    payment = till.pay(line(PRICE, 1000), fee_minor=59, fee_currency="usd")
    assert balance() == 741

    till.give_back(payment, 1000)
    assert balance() == 0


def test_a_fee_told_late_is_a_line_of_its_own_once(till, journal):
    MarketPolicy.objects.create(project=journal, stripe_fee=FeeBearer.CREATOR)
    payment = till.pay(line(PRICE, 1000))
    till.give_back(payment, 500)
    payment.fee_minor, payment.fee_currency = 59, "usd"
    payment.save(update_fields=["fee_minor", "fee_currency"])

    till.follow(payment)
    till.follow(payment)
    assert balance("stripe_fee_minor") == 59 - 30

    till.give_back(payment, 500)
    assert balance() == 0


def test_who_bears_the_fee_from_now_on_changes_no_older_sale(till, journal):
    payment = till.pay(line(PRICE, 1000), fee_minor=59, fee_currency="usd")
    MarketPolicy.objects.create(project=journal, stripe_fee=FeeBearer.CREATOR)

    till.follow(payment)

    assert balance() == 800


@pytest.mark.parametrize("scope", ["api", "creator"])
def test_the_narrower_commission_wins_from_its_date_on(till, weather, creator, scope):
    Commission.objects.create(
        project=creator.project,
        **{scope: weather if scope == "api" else creator},
        basis_points=500,
        effective_from=NOON.replace(day=2),
        set_by="system",
    )

    till.pay(line(PRICE, 1000), at=NOON)
    till.pay(line(PRICE, 1000), at=NOON.replace(day=2))

    sales = Earning.objects.order_by("pk")
    assert [sale.commission_minor for sale in sales] == [200, 50]


def test_currencies_stay_apart(till):
    till.pay(line(PRICE, 500), currency="jpy")
    till.pay(line(PRICE, 5000), currency="kwd")

    assert (balance(currency="jpy"), balance(currency="kwd")) == (400, 4000)


def test_the_database_refuses_to_change_a_line(earned):
    one = earned(500)

    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        Earning.objects.filter(pk=one.pk).update(amount_minor=1)
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        one.delete()


def test_the_database_refuses_parts_that_do_not_add_up(till):
    till.pay(line(PRICE, 1000))
    sale = Earning.objects.get()
    sale.pk, sale.public_id, sale.source, sale.amount_minor = None, "ern_x", "ch_x", 801

    with pytest.raises(IntegrityError, match="earning_parts_add_up"), transaction.atomic():
        sale.save(force_insert=True)


def test_the_database_refuses_the_same_line_twice(till):
    till.pay(line(PRICE, 1000))
    sale = Earning.objects.get()
    sale.pk, sale.public_id = None, "ern_x"

    with pytest.raises(IntegrityError, match="earning_once_per_source"), transaction.atomic():
        sale.save(force_insert=True)
