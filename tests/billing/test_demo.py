"""The demo data: what the examples name is there, made by what people really do."""

import json
import stat

import pytest
from django.contrib.auth.models import User

from billing.demo import APP_KEY, DemoRefused, build_demo, refuse_where_it_hurts
from billing.demo_logins import Logins
from billing.demo_walk import walk_of
from billing.models import Operation, Price, Subscription
from entitlements.models import Grant
from entitlements.selectors import answer_of
from keystore.models import ApiKey, Consumer, Project
from keystore.selectors import find_key
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)
ROWS = (Project, ApiKey, Consumer, Price, Subscription, Grant, Operation, User)


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """The logins' slow digests would take longer than all the rest of the demo."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def logins(tmp_path):
    return Logins(tmp_path / "demo-logins.env")


@pytest.fixture
def demo(stripe_world, clock, logins):
    return build_demo(logins=logins, clock=clock)


@pytest.fixture
def no_stripe(stripe_world, clock):
    stripe_world.faults.add("* /v1/*", "reset_before")


def test_the_examples_find_what_they_name(demo):
    price = Price.objects.get(stripe_price_id="price_123")

    assert demo.problems == []
    assert (demo.project.pk, demo.project.slug) == (1, "space_journal")
    assert (price.plan.code, price.amount_minor, price.currency) == ("pro", 1499, "usd")
    assert (find_key(APP_KEY).project, find_key(APP_KEY).scopes) == (demo.project, ["*"])


def test_everybody_is_in_their_state(demo, logins):
    states = Subscription.objects.values_list("consumer__external_id", "status", "plan__code")
    features = {
        consumer.external_id: [
            one["feature_code"]
            for one in json.loads(answer_of(consumer=consumer, at=NOON).body)["entitlements"]
            if one["kind"] == "boolean"
        ]
        for consumer in Consumer.objects.all()
    }

    assert sorted(states) == [
        ("ada", "active", "pro"),
        ("gina", "canceled", "pro"),
        ("grace", "past_due", "team"),
    ]
    assert features["user_42"] == features["gina"] == []
    assert features["ada"] == ["basic", "pro"]
    assert features["lou"] == features["joan"] == ["labs"]
    assert find_key(logins.known["ada_key"]).consumer.external_id == "ada"


def test_a_second_time_nothing_is_made(demo, stripe_world, clock, logins):
    before = [model.objects.count() for model in ROWS]
    sent = stripe_world.counters.snapshot()["operations"]
    known = dict(logins.known)

    again = build_demo(logins=Logins(logins.path), clock=clock)

    assert again.problems == []
    assert [model.objects.count() for model in ROWS] == before
    assert stripe_world.counters.snapshot()["operations"] == sent
    assert Logins(logins.path).known == known


def test_without_stripe_everything_but_the_buyers_is_there(no_stripe, clock, logins):
    report = build_demo(logins=logins, clock=clock)

    assert len(report.problems) == 1
    assert "Run `make demo` again" in report.problems[0]
    assert Price.objects.get(stripe_price_id="price_123").amount_minor == 1499
    assert find_key(APP_KEY) is not None
    assert Subscription.objects.count() == 0


def test_each_role_has_a_login_and_the_file_is_private(no_stripe, clock, logins):
    build_demo(logins=logins, clock=clock)

    roles = {
        user.username: [group.name for group in user.groups.all()] for user in User.objects.all()
    }
    assert roles == {
        "admin": [],
        "support": ["Support"],
        "finance": ["Finance"],
        "operator": ["Operator"],
        "readonly": ["Read-only"],
    }
    assert stat.S_IMODE(logins.path.stat().st_mode) == 0o600
    assert User.objects.get(username="support").check_password(logins.known["support"])
    assert User.objects.filter(is_superuser=True).get().username == "admin"


def test_the_walk_names_what_is_there(no_stripe, clock, logins):
    project = build_demo(logins=logins, clock=clock).project

    text = walk_of(
        project=project, price_id="price_123", logins=logins, web="http://127.0.0.1:8470"
    )

    assert "curl -X POST http://127.0.0.1:8470/api/v1/checkout/session" in text
    assert f'"project_id": {project.pk}' in text
    assert '"price_id": "price_123"' in text
    assert logins.known["finance"] in text
    assert ":8000" not in text


def test_it_is_refused_in_production(settings):
    settings.DEBUG = False
    with pytest.raises(DemoRefused, match="--force-demo"):
        refuse_where_it_hurts(forced=False)

    refuse_where_it_hurts(forced=True)


def test_it_is_refused_with_real_money(settings):
    settings.DEBUG, settings.STRIPE_LIVE_MODE = True, True

    with pytest.raises(DemoRefused, match="live"):
        refuse_where_it_hurts(forced=True)
