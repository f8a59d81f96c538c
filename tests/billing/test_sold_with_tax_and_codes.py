"""Buying in one's own currency, with tax and a promotion code, as far as Stripe's money goes."""

from decimal import Decimal
from urllib.parse import urlsplit

import pytest

from billing.models import (
    BillingPolicy,
    Checkout,
    Coupon,
    Invoice,
    Redemption,
    Subscription,
)
from billing.promotions.offers import offer_code, offer_coupon
from billing.promotions.terms import CodeTerms, CouponTerms
from config.clock import now
from tests.billing.admin.test_acts import stripe_world  # noqa: F401  a Stripe at the present hour
from tests.billing.conftest import sell
from tests.billing.subscribers import give_card

pytestmark = pytest.mark.django_db(transaction=True)

SUBSCRIPTIONS, DETAILS = "/api/v1/subscriptions", "/api/v1/billing-details"
BERLIN = {"line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE"}


@pytest.fixture
def taxed(journal):
    return BillingPolicy.objects.create(project=journal, tax="automatic")


@pytest.fixture
def euros(pro, pro_monthly, stripe_world):  # noqa: F811
    return sell(pro, stripe_world, amount_minor=1399, currency="eur")


@pytest.fixture
def spring(journal, pro_monthly):
    """A fifth off for three months, for whoever types SPRING20."""
    terms = CouponTerms(
        code="spring",
        name="Spring",
        percent_off=Decimal(20),
        duration="repeating",
        duration_in_months=3,
        plans=("pro",),
    )
    coupon = offer_coupon(project=journal, terms=terms, actor="system", reason="Sale", clock=now)
    offer_code(coupon=coupon, terms=CodeTerms("SPRING20"), actor="system", reason="Sale", clock=now)
    return coupon


def subscribe(client, **wish):
    return client.post(SUBSCRIPTIONS, {"user_id": "alice", "plan": "pro", **wish}, format="json")


def card_of(consumer):
    from billing.customers import ensure_customer

    holder = ensure_customer(consumer=consumer, actor="system", at=now())
    give_card(holder, "pm_card_visa")
    return holder


def live(client, address):
    return client.put(DETAILS, {"user_id": "alice", "address": address}, format="json")


def test_code_tax_and_currency_of_a_sale_are_what_stripe_charges(
    api,
    alice,
    taxed,
    euros,
    spring,
    stripe_world,  # noqa: F811
):
    card_of(alice)
    refused = subscribe(api, currency="eur", payment_method="default")
    assert (refused.status_code, refused.json()["code"]) == (422, "tax_location_needed")
    assert Subscription.objects.count() == 0

    assert live(api, BERLIN).json()["tax_location"] == "supported"
    told = subscribe(api, payment_method="default", promotion_code="spring20").json()

    # Berlin pays in euros: 13.99 less 2.80, and 19 % of the rest on top.
    assert (told["currency"], told["promotion_code"], told["status"]) == (
        "eur",
        "SPRING20",
        "active",
    )
    paid = Invoice.objects.get()
    assert (paid.subtotal_minor, paid.discount_minor, paid.tax_minor, paid.total_minor) == (
        1399,
        280,
        213,
        1332,
    )
    row = told["subscription"]
    charge = row["next_charge"]
    assert (charge["amount_minor"], charge["discount_minor"], charge["tax_minor"]) == (
        1332,
        280,
        213,
    )
    assert row["discounts"][0]["percent_off"] == "20"
    assert Redemption.objects.get().promotion_code.code == "SPRING20"
    assert Coupon.objects.get().times_redeemed == 1


def test_stripes_page_takes_address_vat_id_and_code(
    api,
    alice,
    taxed,
    euros,
    spring,
    stripe_world,  # noqa: F811
):
    from billing.checkout import fulfil_checkout

    subscribe(api, currency="eur", promotion_code="SPRING20")
    checkout = Checkout.objects.get()
    form = {
        "card": "4242424242424242",
        "email": "a@b.example",
        "country": "FR",
        "postal_code": "75001",
        "tax_id": "FR12345678901",
    }
    page = urlsplit(checkout.session_url).path
    stripe_world.open_page("POST", page, query={}, form=form)
    fulfil_checkout(checkout=checkout, clock=now)

    paid = Invoice.objects.get()
    assert (paid.total_minor, paid.tax_minor, paid.discount_minor) == (1119, 0, 280)
    shown = api.get(DETAILS, {"user_id": "alice"}).json()
    assert (shown["address"]["country"], shown["tax_ids"][0]["verification"]) == ("FR", "verified")
