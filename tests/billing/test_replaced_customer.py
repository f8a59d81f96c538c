"""A checkout whose Stripe customer was deleted and replaced while its page was open."""

import pytest
from django.test import Client

from billing import gateway, sweep
from billing.checkout import Wish, start_checkout
from billing.models import Checkout, CheckoutMode, CheckoutState, StripeCustomer
from billing.sync import sync_customer
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def orphan(alice, pro_monthly, lifetime, clock):
    """Alice's checkout of a customer that is gone; she has begun to buy something else since."""
    wish = Wish(alice, pro_monthly, CheckoutMode.SUBSCRIPTION)
    checkout = start_checkout(wish=wish, actor="system", at=NOON)
    gone = StripeCustomer.objects.get().stripe_customer_id
    gateway.write(f"/v1/customers/{gone}", {}, idempotency_key="test:delete", method="delete")
    sync_customer(stripe_customer_id=gone, clock=clock)
    alice.refresh_from_db()
    start_checkout(wish=Wish(alice, lifetime, CheckoutMode.PAYMENT), actor="system", at=NOON)
    assert StripeCustomer.objects.get().stripe_customer_id != gone
    clock.advance(hours=25)  # Stripe ends open pages after a day
    return checkout


def test_the_sweeper_ends_it_and_goes_on(orphan, clock):
    sweep.sweep_checkouts(clock=clock)

    states = set(Checkout.objects.values_list("state", flat=True))
    assert states == {CheckoutState.EXPIRED}


def test_the_return_page_says_that_it_has_ended(orphan, clock, monkeypatch):
    monkeypatch.setattr("billing.views.now", clock)

    page = Client().get("/checkout/return", {"session_id": orphan.stripe_session_id})

    assert page.status_code == 200
    orphan.refresh_from_db()
    assert orphan.state == CheckoutState.EXPIRED
