"""Quantities, changes to come, pauses with a date and agreed prices, by staff."""

from datetime import timedelta

import pytest

from billing.models import PriceOverride, ScheduledChange
from config.clock import now
from keystore.models import AuditEntry
from tests.billing.admin.conftest import say
from tests.billing.admin.test_acts import (
    hidden,
    stripe_world,
    subscription,
    team_monthly,
    text,
    url_of,
)
from tests.billing.subscribers import at_stripe, invoices_of
from tests.staff import client_of

__all__ = ["stripe_world", "subscription", "team_monthly"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_quantity_is_priced_first_and_charged_at_the_second_click(support, subscription):
    url = url_of(subscription, "change_quantity")
    wish = say(many="3", settle="now")

    shown = support.post(url, wish)
    assert "29.98 USD is charged now" in text(shown)
    assert len(invoices_of(subscription)) == 1
    support.post(url, {**wish, **hidden(shown)})

    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 2998)


def test_a_change_to_come_is_scheduled_and_withdrawn(support, subscription, team_monthly):
    wish = say(price=team_monthly.public_id, day="")
    assert "HX-Redirect" in support.post(url_of(subscription, "schedule_change"), wish).headers
    again = support.post(url_of(subscription, "schedule_change"), wish)
    assert "scheduled already" in text(again)

    opened = support.get(url_of(subscription, "withdraw_change"))
    support.post(url_of(subscription, "withdraw_change"), say())

    assert "does not happen" in text(opened)
    assert ScheduledChange.objects.get().state == "withdrawn"
    entry = AuditEntry.objects.get(act="subscription.schedule_withdrawn")
    assert (entry.actor, entry.reason) == ("staff:support", "a ticket")


def test_a_pause_with_a_date_ends_by_itself(support, subscription):
    day = f"{now() + timedelta(days=20):%Y-%m-%d}"

    support.post(url_of(subscription, "pause"), say(resumes_on=day))

    assert f"{ScheduledChange.objects.get().due_at:%Y-%m-%d}" == day
    assert at_stripe(subscription)["pause_collection"] is not None


@pytest.mark.parametrize(("amount", "agreed"), [("9.99", [999]), ("9.999", []), ("-1", [])])
def test_a_price_is_agreed_on_in_whole_cents(subscription, amount, agreed):
    finance = client_of("Finance")

    finance.post(url_of(subscription, "agree_price"), say(amount=amount))

    assert list(PriceOverride.objects.values_list("amount_minor", flat=True)) == agreed
