"""One question, one answer: may this be used, and what is left."""

import json

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from entitlements.models import Feature
from keystore.services import issue_key
from metering.failpolicy import Policy, set_fail_policy
from metering.models import QuotaBalance, Reservation, UsageEvent
from metering.quotas import take
from metering.services import give_credits
from tests.conftest import NOON
from tests.metering.quota_cast import give, metered, sell


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    for module in ("check", "quota", "entitlements"):
        monkeypatch.setattr(f"metering.api.{module}.now", lambda: NOON)
    monkeypatch.setattr("entitlements.api.now", lambda: NOON)


@pytest.fixture
def tokens(journal, alice):
    give(alice, plan=sell(journal, "tokens", limit=10))
    return metered(journal)


def post(api, path, asked, **headers):
    body = asked if isinstance(asked, bytes) else json.dumps(asked)
    return api.post(f"/api/v1/{path}", body, content_type="application/json", **headers)


def ask(api, feature="tokens", user="alice", **wish):
    return post(api, "check", {"user_id": user, "feature_code": feature, **wish})


def test_answer_says_all_that_an_app_needs(api, journal, alice, tokens):
    answer = ask(api, quantity=4)
    grant = alice.grants.get()
    assert answer.json() == {
        "allowed": True,
        "code": "ALLOWED",
        "reason": "granted",
        "user_id": "alice",
        "feature": "tokens",
        "value": 10,
        "limit": 10,
        "used": 0,
        "remaining": 10,
        "credits": 0,
        "resets_at": "2026-04-01T00:00:00Z",
        "source": {"type": "staff", "id": grant.source_ref},
        "valid_to": None,
        "version": 1,
        "max_age": 0,
        "on_failure": "fail_closed",
    }
    assert not QuotaBalance.objects.exists()


def test_asking_takes_nothing_and_has_an_etag(api, alice, tokens):
    first = ask(api)
    assert first["Cache-Control"] == "private, max-age=0, must-revalidate"
    asked = {"user_id": "alice", "feature_code": "tokens"}
    again = post(api, "check", asked, HTTP_IF_NONE_MATCH=first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    take(consumer=alice, meter=tokens, quantity=1, event_id="", at=NOON)
    assert post(api, "check", asked, HTTP_IF_NONE_MATCH=first["ETag"]).status_code == 200


def test_what_does_not_fit_is_told_not_raised(api, tokens):
    answer = ask(api, quantity=11)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["allowed"], told["code"], told["remaining"]) == (False, "USAGE_EXCEEDED", 10)


def test_consuming_takes_in_the_same_call(api, alice, tokens):
    told = ask(api, quantity=4, consume=True, event_id="one").json()
    again = ask(api, quantity=4, consume=True, event_id="one").json()
    assert (told["allowed"], told["used"], told["remaining"], told["repeated"]) == (
        *(True, 4),
        *(6, False),
    )
    assert (again["event"], again["repeated"], again["used"]) == (told["event"], True, 4)
    assert UsageEvent.objects.get().quantity == 4


def test_consuming_what_does_not_fit_takes_nothing(api, tokens):
    answer = ask(api, quantity=11, consume=True)
    assert (answer.json()["code"], answer.json()["event"]) == ("USAGE_EXCEEDED", None)
    assert answer["Cache-Control"] == "no-store"
    assert not UsageEvent.objects.exists()


def test_reserving_keeps_it_back(api, tokens):
    told = ask(api, quantity=4, reserve=True, ttl_seconds=60).json()
    assert told["reservation"]["id"] == Reservation.objects.get().public_id
    assert told["remaining"] == 6
    assert ask(api, quantity=7, reserve=True).json()["reservation"] is None


def test_credits_pay_what_the_limit_does_not(api, alice, tokens):
    give_credits(
        consumer=alice,
        meter=tokens,
        amount=5,
        reason="x",
        given_by="t",
        idempotency_key="k",
        actor="t",
        at=NOON,
    )
    told = ask(api, quantity=12).json()
    assert (told["allowed"], told["reason"], told["credits"]) == (True, "paid_by_credits", 5)
    assert ask(api, quantity=16).json()["code"] == "USAGE_EXCEEDED"


def test_soft_limit_allows_overage(api, journal, bob, tokens):
    give(bob, plan=sell(journal, "tokens", limit=10, enforcement="soft"))
    assert ask(api, user="bob", quantity=12).json()["reason"] == "overage"


def test_boolean_and_config_features_have_no_figures(api, journal, alice):
    Feature.objects.create(project=journal, code="theme", kind="config")
    give(alice, plan=sell(journal, "export", limit=None, kind="boolean"))
    told = ask(api, "export").json()
    assert (told["allowed"], told["value"], told["limit"], told["used"]) == (True, True, None, None)
    assert ask(api, "theme").json()["reason"] == "not_included"


@pytest.mark.parametrize(("user", "reason"), [("bob", "not_included"), ("who", "unknown_user")])
def test_nobody_and_nothing_are_answered(api, bob, tokens, user, reason):
    told = ask(api, user=user).json()
    assert (told["allowed"], told["code"], told["reason"]) == (
        *(False, "FEATURE_NOT_ENTITLED"),
        reason,
    )
    assert ask(api, user=user, consume=True).json()["allowed"] is False


def test_unknown_feature_is_404_that_names_those_that_exist(api, tokens):
    refused = ask(api, "tokns")
    assert (refused.status_code, refused.json()["code"]) == (404, "feature_not_found")
    assert "tokens" in refused.json()["errors"][0]["fix"]


def test_preview_names_the_plans_that_would_allow_it(api, journal, tokens):
    for limit in (20, 100):
        sell(journal, "tokens", limit=limit)
    hidden = sell(journal, "tokens", limit=1000)
    hidden.public = False
    hidden.save(update_fields=["public"])
    told = ask(api, quantity=50, with_preview=True).json()
    assert [plan["limit"] for plan in told["preview"]["plans"]] == [100]


BAD = [
    (b"", "body"),
    (b"{", "body"),
    (b"[]", "body"),
    (b"null", "body"),
    (b"[" * 100_000, "body"),
    (b'{"user_id": 1, "feature_code": "tokens"}', "body.user_id"),
    (b'{"user_id": "", "feature_code": "tokens"}', "body.user_id"),
    (b'{"user_id": "alice"}', "body"),
    (b'{"user_id": "a\\u0000", "feature_code": "tokens"}', "body"),
    (b'{"user_id": "alice", "feature_code": "tokens", "quantity": -1}', "body.quantity"),
    (b'{"user_id": "alice", "feature_code": "tokens", "quantity": 1e400}', "body.quantity"),
    (b'{"user_id": "alice", "feature_code": "tokens", "quantity": "NaN"}', "body.quantity"),
    (b'{"user_id": "alice", "feature_code": "tokens", "quantity": NaN}', "body"),
    (b'{"user_id": "alice", "feature_code": "tokens", "quantity": 1e-13}', "body.quantity"),
    (
        b'{"user_id": "alice", "feature_code": "tokens", "quantity": ' + b"9" * 10000 + b"}",
        "body.quantity",
    ),
    (b'{"user_id": "alice", "feature_code": "tokens", "ttl_seconds": 0}', "body.ttl_seconds"),
    (
        b'{"user_id": "alice", "feature_code": "tokens", "consume": true, "quantity": 0}',
        "body.quantity",
    ),
    (
        b'{"user_id": "alice", "feature_code": "tokens", "consume": true, "reserve": true}',
        "body.reserve",
    ),
    (b'\xff{"user_id": "alice"}', "body"),
]


@pytest.mark.parametrize(("body", "place"), BAD)
def test_question_that_makes_no_sense_is_refused(api, tokens, body, place):
    refused = post(api, "check", body)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
    assert [one["location"] for one in refused.json()["errors"] or [{"location": "body"}]] == [
        place
    ]


def test_body_that_is_too_large_is_413(api, tokens):
    assert post(api, "check", b" " * 1_000_001).status_code == 413


def test_taking_needs_the_right_to_tell_usage(api, journal, backend, tokens):
    key = issue_key(
        project=journal, owner=backend, scopes=("entitlements:read",), actor="system", at=NOON
    )
    api.credentials(HTTP_X_API_KEY=key.plaintext)
    assert ask(api).status_code == 200
    assert ask(api, consume=True).json()["code"] == "insufficient_scope"
    assert not UsageEvent.objects.exists()


def test_same_idempotency_key_takes_once(api, tokens):
    asked = {"user_id": "alice", "feature_code": "tokens", "consume": True}
    first = post(api, "check", asked, HTTP_IDEMPOTENCY_KEY="one")
    again = post(api, "check", asked, HTTP_IDEMPOTENCY_KEY="one")
    assert again.json() == first.json()
    assert UsageEvent.objects.count() == 1


def test_fail_policy_says_how_long_an_answer_serves(api, journal, tokens):
    policy = Policy("fail_open", 300, 3600)
    set_fail_policy(project=journal, feature=None, policy=policy, actor="t", reason="x")
    answer = ask(api)
    assert answer["Cache-Control"] == "private, max-age=300, stale-if-error=3600"
    assert (answer.json()["max_age"], answer.json()["on_failure"]) == (300, "fail_open")
    own = Policy("fail_closed", 60, 0)
    set_fail_policy(project=journal, feature=tokens.feature, policy=own, actor="t", reason="x")
    assert ask(api)["Cache-Control"] == "private, max-age=60, must-revalidate"


def test_answer_is_not_fresh_beyond_its_period(api, journal, bob, tokens, monkeypatch):
    give(bob, plan=sell(journal, "tokens", limit=5, reset="day"))
    policy = Policy("fail_open", 7 * 86400, 0)
    set_fail_policy(project=journal, feature=None, policy=policy, actor="t", reason="x")
    assert ask(api, user="bob")["Cache-Control"].startswith("private, max-age=43200,")


def batch(api, users, features, **headers):
    return post(api, "check/batch", {"user_ids": users, "feature_codes": features}, **headers)


def test_batch_answers_each_as_a_single_question_would(api, journal, bob, tokens):
    give(bob, plan=sell(journal, "export", limit=None, kind="boolean"))
    found = batch(api, ["alice", "bob", "who"], ["tokens", "export", "nothing"]).json()["data"]
    assert [line["user_id"] for line in found] == ["alice", "bob", "who"]
    for line in found:
        for code in ("tokens", "export"):
            assert line["features"][code] == ask(api, code, line["user_id"]).json()
        assert line["features"]["nothing"]["code"] == "FEATURE_NOT_FOUND"


def test_hundred_times_hundred_costs_a_handful_of_queries(api, journal):
    features = [metered(journal, f"f{n}").feature for n in range(100)]
    plan = sell(journal, "f0", limit=5)
    plan.plan_features.all().delete()
    plan.plan_features.model.objects.bulk_create(
        plan.plan_features.model(plan=plan, feature=feature, limit=5) for feature in features
    )
    users = [f"u{n}" for n in range(100)]
    for user in users:
        give(journal.consumers.create(external_id=user), plan=plan)
    codes = [feature.code for feature in features]
    with CaptureQueriesContext(
        connection,
    ) as seen:
        answer = batch(api, users, codes)
    ours = [one for one in seen if "SAVEPOINT" not in one["sql"]]
    assert len(ours) <= 10
    found = orjson.loads(answer.content)["data"]
    assert sum(one["allowed"] for line in found for one in line["features"].values()) == 10_000


def test_batch_has_an_etag_and_bounds(api, tokens):
    first = batch(api, ["alice"], ["tokens"])
    again = batch(api, ["alice"], ["tokens"], HTTP_IF_NONE_MATCH=first["ETag"])
    assert again.status_code == 304
    assert batch(api, ["a"] * 101, ["tokens"]).status_code == 400
    assert batch(api, [], ["tokens"]).status_code == 400


def test_entitlements_tell_usage_only_when_asked(api, alice, tokens):
    plain = api.get("/api/v1/entitlements", {"user_id": "alice"})
    take(consumer=alice, meter=tokens, quantity=4, event_id="", at=NOON)
    again = api.get("/api/v1/entitlements", {"user_id": "alice"}, HTTP_IF_NONE_MATCH=plain["ETag"])
    assert again.status_code == 304
    used = api.get(
        "/api/v1/entitlements",
        {"user_id": "alice", "usage": "true"},
        HTTP_IF_NONE_MATCH=plain["ETag"],
    )
    one = used.json()["entitlements"][0]
    assert (one["limit"], one["used"], one["remaining"]) == (10, 4, 6)
    assert one["resets_at"] == "2026-04-01T00:00:00Z"
    assert used["Cache-Control"] == "no-store"


def test_explanation_tells_usage_when_asked(api, alice, tokens):
    asked = {"user_id": "alice", "feature_code": "tokens"}
    assert "usage" not in api.get("/api/v1/entitlements/explain", asked).json()
    told = api.get("/api/v1/entitlements/explain", {**asked, "usage": "true"}).json()
    assert told["usage"]["remaining"] == 10


def test_nothing_crosses_projects(api, orbit, mallory, tokens):
    key = issue_key(
        project=orbit,
        owner=orbit.apps.create(name="b"),
        scopes=("*",),
        actor="system",
        at=NOON,
    )
    metered(orbit)
    api.credentials(HTTP_X_API_KEY=key.plaintext)
    assert ask(api).json()["reason"] == "unknown_user"
    assert batch(api, ["alice"], ["tokens"]).json()["data"][0]["features"]["tokens"]["used"] is None
