"""Stripe's stand-in, and what journal sells."""

from datetime import timedelta

import pytest

from tests.conftest import NOON


@pytest.fixture
def stripe_world():
    """A fresh Stripe in this process, held to the documented shapes, its clock at NOON."""
    from billing import gateway
    from sandbox import Sandbox

    sandbox = Sandbox(frozen_at=NOON, verify=True)
    gateway.connect(sandbox.http_client())
    yield sandbox
    gateway.connect(None)


@pytest.fixture
def clock(stripe_world):
    """The present instant on Stripe's clock: `clock.advance(days=31)` moves both."""
    return SharedClock(stripe_world)


class SharedClock:
    """Our time and Stripe's, which pass together."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.at = NOON

    def __call__(self):
        return self.at

    def advance(self, **duration):
        self.at += timedelta(**duration)
        self.sandbox.advance(timedelta(**duration))


@pytest.fixture
def pro(journal):
    """A plan with a feature and a key: 1499 US cents a month."""
    from entitlements.models import Feature, Plan, PlanFeature

    feature = Feature.objects.create(project=journal, code="pro")
    plan = Plan.objects.create(
        project=journal, code="pro", name="Pro", rank=20, limit_per_minute=600
    )
    PlanFeature.objects.create(plan=plan, feature=feature)
    return plan


@pytest.fixture
def pro_monthly(pro, stripe_world):
    """The price of pro, at Stripe and here."""
    return sell(pro, stripe_world, amount_minor=1499)


@pytest.fixture
def lifetime(journal, stripe_world):
    """A one-off price: 9900 US cents, once."""
    from entitlements.models import Feature, Plan, PlanFeature

    feature = Feature.objects.create(project=journal, code="labs")
    plan = Plan.objects.create(project=journal, code="lifetime", name="Lifetime", rank=30)
    PlanFeature.objects.create(plan=plan, feature=feature)
    return sell(plan, stripe_world, amount_minor=9900, interval="")


def sell(plan, sandbox, *, amount_minor, currency="usd", interval="month"):
    """Make a product and price at Stripe, and our row that points to it."""
    from billing import gateway
    from billing.models import Price, PriceKind

    product = gateway.write(
        "/v1/products", {"name": plan.name}, idempotency_key=f"test:{plan.code}:product"
    )
    params = {"product": product["id"], "unit_amount": amount_minor, "currency": currency}
    if interval:
        params["recurring"] = {"interval": interval}
    key = f"test:{plan.code}:price:{amount_minor}:{currency}:{interval}"
    price = gateway.write("/v1/prices", params, idempotency_key=key)
    return Price.objects.create(
        project=plan.project,
        plan=plan,
        stripe_price_id=price["id"],
        stripe_product_id=product["id"],
        kind=PriceKind.RECURRING if interval else PriceKind.ONE_OFF,
        amount_minor=amount_minor,
        currency=currency,
        interval=interval,
    )


@pytest.fixture
def bought_once(clock):
    """Buys a one-off price for a consumer, as they do; returns the payment."""
    from urllib.parse import urlsplit

    from billing.checkout import Wish, fulfil_checkout, start_checkout
    from billing.models import CheckoutMode, Payment

    card = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}

    def buy(consumer, price):
        wish = Wish(consumer=consumer, price=price, mode=CheckoutMode.PAYMENT)
        begun = start_checkout(wish=wish, actor="system", at=clock())
        page = urlsplit(begun.session_url).path
        form = {**card, "name": "A", "email": "a@b.example"}
        clock.sandbox.open_page("POST", page, query={}, form=form)
        fulfil_checkout(checkout=begun, clock=clock)
        return Payment.objects.latest("pk")

    return buy
