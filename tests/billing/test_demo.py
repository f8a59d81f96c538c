"""The demo data: what the examples name is there, made by what people really do."""

import pytest
from django.core.management import call_command

from billing.demo import APP_KEY, DemoRefused, build_demo, refuse_where_it_hurts
from billing.demo_logins import Logins
from billing.models import Price, Subscription
from keystore.models import ApiKey, Consumer, Project
from keystore.selectors import find_key
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def logins(tmp_path):
    return Logins(tmp_path / "demo-logins.env")


@pytest.fixture
def demo(stripe_world, clock, logins):
    return build_demo(logins=logins, clock=clock)


def test_the_examples_find_what_they_name(demo):
    price = Price.objects.get(stripe_price_id="price_123")

    assert demo.problems == []
    assert (demo.project.pk, demo.project.slug) == (1, "space_journal")
    assert (price.plan.code, price.amount_minor, price.currency) == ("pro", 1499, "usd")
    assert find_key(APP_KEY).project == demo.project


def test_everybody_is_in_their_state(demo):
    states = Subscription.objects.values_list("consumer__external_id", "status", "plan__code")

    assert sorted(states) == [
        ("ada", "active", "pro"),
        ("gina", "canceled", "pro"),
        ("grace", "past_due", "team"),
    ]
