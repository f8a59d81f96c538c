"""Stripe's errors are counted for the metrics, and counting never gets in the way."""

import pytest
from django.db import connection

from billing import gateway
from billing.models import StripeErrorCount

pytestmark = pytest.mark.django_db(transaction=True)


def fail():
    with pytest.raises(gateway.StripeMissing):
        gateway.read("/v1/customers/cus_none")


def test_errors_are_counted_by_their_code(stripe_world, client):
    fail()
    fail()

    assert StripeErrorCount.objects.get().times == 2
    told = client.get("/metrics").content.decode()
    assert 'latchkey_stripe_errors_total{code="resource_missing"} 2.0' in told


def test_an_error_that_cannot_be_counted_is_still_stripe_s(stripe_world, monkeypatch):
    monkeypatch.setattr("billing.stripe_errors.COUNT", "SELECT nonsense FROM nowhere")

    fail()
    assert connection.is_usable()
