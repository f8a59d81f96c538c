"""Staff see what Stripe was told of usage."""

import pytest
from django.urls import reverse

from billing.models import UsageReport
from metering.models import Meter
from tests.conftest import NOON
from tests.staff import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def refused(alice):
    meter = Meter.objects.create(project=alice.project, code="calls")
    return UsageReport.objects.create(
        project=alice.project,
        consumer=alice,
        meter=meter,
        bucket=NOON,
        version=1,
        identifier="calls-alice-1",
        counted=5,
        quantity=5,
        state="failed",
        error="No such customer",
    )


def test_the_list_shows_states(refused):
    page = client_of("Read-only").get(reverse("admin:billing_usagereport_changelist"))

    assert page.status_code == 200
    assert "calls-alice-1" in page.text
    assert "failed" in page.text


def test_the_customer_page_shows_what_was_told(refused, alice):
    page = client_of("Support").get(reverse("admin:keystore_consumer_change", args=[alice.pk]))

    assert "Usage told to Stripe" in page.text
