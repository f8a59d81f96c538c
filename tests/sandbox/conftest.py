"""A sandbox at a fixed instant, and what its tests sell."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from sandbox import Sandbox

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
SECRET = "whsec_sandbox_tests"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(frozen_at=NOON, verify=True)


@pytest.fixture
def client(sandbox: Sandbox) -> Any:
    key = "sk_test_" + "a" * 24
    return stripe.StripeClient(key, http_client=sandbox.http_client()).v1


@pytest.fixture
def product(client: Any) -> Any:
    return client.products.create({"name": "Pro"})


@pytest.fixture
def monthly(client: Any, product: Any) -> Callable[..., Any]:
    """Makes a monthly price of so many cents."""

    def make(amount: int = 1000, **more: Any) -> Any:
        terms = {"product": product.id, "currency": "usd", "recurring": {"interval": "month"}}
        return client.prices.create({**terms, "unit_amount": amount, **more})

    return make


@pytest.fixture
def buyer(client: Any) -> Callable[..., Any]:
    """Makes a customer whose default card behaves as its name says."""

    def make(card: str = "pm_card_visa", **more: Any) -> Any:
        customer = client.customers.create({"email": "buyer@example.com", **more})
        give_card(client, customer.id, card)
        return customer

    return make


def give_card(client: Any, customer: str, card: str) -> Any:
    """Attach the card and make it the customer's default."""
    method = client.payment_methods.attach(card, {"customer": customer})
    settings = {"default_payment_method": method.id}
    client.customers.update(customer, {"invoice_settings": settings})
    return method


def type_names(sandbox: Sandbox) -> list[str]:
    """The types of all events, oldest first."""
    return [event["type"] for event in sandbox.store.all("event")]
