"""One way to show instants, and what matters before the bare row."""

from datetime import UTC, datetime

from django.urls import reverse
from django.utils.formats import localize

from billing.models import Subscription
from tests.conftest import NOON
from tests.staff import client_of


def test_instants_are_shown_in_iso_order():
    assert localize(datetime(2026, 3, 9, 16, 51, tzinfo=UTC)) == "2026-03-09 16:51"


def test_bare_row_of_a_consumer_comes_after_everything_else(alice):
    page = client_of("Support").get(reverse("admin:keystore_consumer_change", args=[alice.pk]))
    told = page.content.decode()

    places = [
        told.index(sign) for sign in ('class="header-card"', 'id="timeline"', "The row itself")
    ]
    assert places == sorted(places)


def test_sums_stand_as_people_write_them(alice):
    row = Subscription.objects.create(
        project=alice.project,
        consumer=alice,
        stripe_subscription_id="sub_1",
        status="active",
        currency="usd",
        mrr_minor=1499,
        started_at=NOON,
        synced_at=NOON,
    )
    page = client_of("Support").get(reverse("admin:billing_subscription_change", args=[row.pk]))
    told = page.content.decode()

    assert ("14.99 USD" in told, "Per month" in told, "rr minor" in told) == (True, True, False)
