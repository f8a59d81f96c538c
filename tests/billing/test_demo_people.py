"""What is in the demo, made once for all of these tests: they only read it."""

import json
from copy import deepcopy
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User

from billing import gateway
from billing.demo import APP_KEY, build_demo
from billing.demo_logins import Logins
from billing.models import Operation, Price, Subscription
from entitlements.models import Grant
from entitlements.selectors import answer_of
from keystore.models import ApiKey, Consumer, Project
from keystore.selectors import find_key
from sandbox import Sandbox
from tests.billing.conftest import SharedClock
from tests.conftest import NOON
from tests.servers import restore

pytestmark = pytest.mark.django_db
ROWS = (Project, ApiKey, Consumer, Price, Subscription, Grant, Operation, User)
# The logins' slow digests would take longer than all the rest of the demo.


def made(sandbox, logins):
    """The demo, and what there is afterwards."""
    report = build_demo(logins=logins, clock=SharedClock(sandbox))
    return SimpleNamespace(
        report=report,
        rows=[model.objects.count() for model in ROWS],
        sent=deepcopy(sandbox.counters.snapshot()["operations"]),
        known=dict(Logins(logins.path).known),
    )


@pytest.fixture(scope="module")
def demo(django_db_setup, django_db_blocker, tmp_path_factory):
    """Made twice, one after the other."""
    sandbox = Sandbox(frozen_at=NOON, verify=True)
    path = tmp_path_factory.mktemp("demo") / "demo-logins.env"
    with django_db_blocker.unblock():
        gateway.connect(sandbox.http_client())
        first, again = made(sandbox, Logins(path)), made(sandbox, Logins(path))
        yield SimpleNamespace(first=first, again=again)
        gateway.connect(None)
        restore()


def test_the_examples_find_what_they_name(demo):
    price, project = Price.objects.get(stripe_price_id="price_123"), demo.first.report.project

    assert demo.first.report.problems == []
    assert (project.pk, project.slug) == (1, "space_journal")
    assert (price.plan.code, price.amount_minor, price.currency) == ("pro", 1499, "usd")
    assert (find_key(APP_KEY).project, find_key(APP_KEY).scopes) == (project, ["*"])


def test_everybody_is_in_their_state(demo):
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
    assert find_key(demo.first.known["ada_key"]).consumer.external_id == "ada"


def test_a_second_time_nothing_is_made(demo):
    assert demo.again.report.problems == []
    assert demo.again.rows == demo.first.rows
    assert demo.again.sent == demo.first.sent
    assert demo.again.known == demo.first.known
