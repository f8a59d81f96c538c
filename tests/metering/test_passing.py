"""One question at the gateway takes from rate limit and quota; refused, it takes from neither."""

from datetime import timedelta

import pytest

from config.clock import now
from entitlements.models import Feature, FeatureKind, Plan, PlanFeature, Reset
from entitlements.services import give_grant
from keystore.services import issue_key
from metering.decide import Code, decide
from metering.models import Meter, UsageEvent
from tests.conftest import NOON
from tests.together import at_once

LATER = NOON + timedelta(hours=1)
PATH = "/api/v1/keys/verify"


@pytest.fixture
def calls(journal):
    """A meter of the feature calls, of which the plan pro has 3 a month."""
    feature = Feature.objects.create(project=journal, code="calls", kind=FeatureKind.LIMIT)
    plan = Plan.objects.create(project=journal, code="pro")
    PlanFeature.objects.create(plan=plan, feature=feature, limit=3, reset=Reset.CALENDAR_MONTH)
    return Meter.objects.create(project=journal, code="api_calls", feature=feature)


@pytest.fixture
def token(journal, alice, calls):
    """The key of alice, who has pro."""
    give_grant(
        consumer=alice,
        plan=Plan.objects.get(),
        valid_from=NOON,
        valid_to=None,
        reason="test",
        granted_by="sam",
        idempotency_key="g1",
        actor="staff:sam",
        at=NOON,
    )
    return issue_key(project=journal, owner=alice, actor="system", at=NOON).plaintext


def ask(token, at=LATER, **changes):
    wish = {"remote_ip": "", "scopes_wanted": (), "api": "", "feature": "", "meter": "api_calls"}
    return decide(token=token, at=at, **{**wish, **changes})


def test_request_is_counted_and_what_is_left_is_told(token):
    decision = ask(token)

    assert decision.code is Code.VALID
    assert decision.headers["X-Quota-Limit"] == "3"
    assert decision.headers["X-Quota-Remaining"] == "2"
    assert decision.body["quota"]["used"] == 1
    assert UsageEvent.objects.get().key is not None


def test_quota_that_is_used_up_says_when_it_starts_anew(token):
    codes = [ask(token).code for _ in range(3)]
    refused = ask(token)

    assert codes == [Code.VALID] * 3
    assert (refused.code, refused.status) == (Code.USAGE_EXCEEDED, 429)
    assert refused.headers["Retry-After"] == str(31 * 86_400 - 13 * 3600)  # to the 1st of April
    assert UsageEvent.objects.count() == 3


def test_same_request_is_counted_once(token):
    seen = [ask(token, request_id="r1").headers["X-Quota-Remaining"] for _ in range(3)]
    assert seen == ["2", "2", "2"]


@pytest.mark.parametrize("request_id", ["x" * 5000, "\x00", "\xe9\n", "a b"])
def test_odd_request_ids_are_counted_once_too(token, request_id):
    assert [ask(token, request_id=request_id).code for _ in range(2)] == [Code.VALID] * 2
    assert UsageEvent.objects.count() == 1


def test_same_id_for_another_use_is_not_free(token):
    ask(token, request_id="r1")
    assert ask(token, request_id="r1", cost=2).headers["X-Quota-Remaining"] == "0"


def test_cost_is_taken_whole_or_not_at_all(token):
    assert ask(token, cost=2).headers["X-Quota-Remaining"] == "1"
    assert ask(token, cost=2).code is Code.USAGE_EXCEEDED
    assert ask(token, cost=1).code is Code.VALID


def test_looking_takes_nothing(token):
    looks = [ask(token, cost=0) for _ in range(5)]

    assert {look.code for look in looks} == {Code.VALID}
    assert looks[-1].headers["X-Quota-Remaining"] == "3"


def test_rate_limited_request_is_not_counted(token, journal):
    journal.keys.update(own_limit_per_minute=1)

    assert [ask(token, cost=2).code for _ in range(2)] == [Code.VALID, Code.RATE_LIMITED]
    assert UsageEvent.objects.count() == 1


@pytest.mark.parametrize("meter", ["unknown", "\x00"])
def test_unknown_meter_is_not_entitled(token, meter):
    assert ask(token, meter=meter).code is Code.FEATURE_NOT_ENTITLED


def test_consumer_without_the_plan_is_not_entitled(journal, bob, calls):
    issued = issue_key(project=journal, owner=bob, actor="system", at=NOON)
    assert ask(issued.plaintext).code is Code.FEATURE_NOT_ENTITLED


def test_key_of_an_app_has_no_quota(backend_key, calls):
    assert ask(backend_key).code is Code.FEATURE_NOT_ENTITLED


def test_over_http_in_both_ways(client, api, token):
    query = "?meter=api_calls&cost=1&request_id=r1"
    by_header = client.get(PATH + query, HTTP_X_API_KEY=token)
    wish = {"key": token, "meter": "api_calls", "cost": 3}
    by_body = api.post(PATH, wish, format="json")

    assert (by_header.status_code, by_header["X-Quota-Remaining"]) == (200, "2")
    assert (by_body.status_code, by_body.json()["code"]) == (200, "USAGE_EXCEEDED")


@pytest.mark.parametrize("cost", ["x", "-1", "1e3", "9" * 400, "\u0664"])
def test_cost_that_is_none_never_breaks_the_gateway(client, token, cost):
    answer = client.get(PATH, {"meter": "api_calls", "cost": cost}, HTTP_X_API_KEY=token)
    assert answer.status_code in (200, 429)


@pytest.mark.django_db(transaction=True)
def test_three_left_and_eight_at_once_are_three(token):
    codes = at_once(lambda: ask(token).code)
    assert sorted(codes) == [Code.USAGE_EXCEEDED] * 5 + [Code.VALID] * 3


def test_what_was_used_with_a_key_is_told(api, token, journal):
    at = now()
    for cost in (1, 2):
        ask(token, cost=cost, at=at)
    key = journal.keys.get(consumer__isnull=False)

    body = api.get(f"/api/v1/keys/{key.public_id}/usage").json()

    (used,) = body["usage"]
    assert (used["meter"], len(used["data"])) == ("api_calls", 1)
    assert (float(used["data"][0]["quantity"]), used["data"][0]["events"]) == (3.0, 2)
    assert api.get("/api/v1/keys/key_nobody/usage").status_code == 404
    assert api.get(f"/api/v1/keys/{key.public_id}/usage?window=week").status_code == 400


def test_app_that_may_only_read_keys_takes_no_quota(client, journal, backend, token):
    reader = issue_key(
        project=journal, owner=backend, scopes=("keys:read",), actor="system", at=NOON
    ).plaintext
    told = {"key": token, "meter": "api_calls"}

    def status(**more):
        headers = {"X-API-Key": reader}
        asked = {**told, **more}
        return client.post(
            PATH, asked, content_type="application/json", headers=headers
        ).status_code

    assert [status(), status(cost=0)] == [403, 200]
    assert not UsageEvent.objects.exists()
