"""The demo data: what the examples name is there, made by what people really do."""

import stat

import pytest
from django.contrib.auth.models import User

from billing.demo import APP_KEY, DemoRefused, build_demo, refuse_where_it_hurts
from billing.demo_logins import Logins
from billing.demo_walk import walk_of
from billing.models import Price, Subscription
from keystore.selectors import find_key

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def logins(tmp_path):
    return Logins(tmp_path / "demo-logins.env")


@pytest.fixture
def no_stripe(stripe_world, clock):
    stripe_world.faults.add("* /v1/*", "reset_before")


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
