from datetime import UTC, datetime, timedelta

import orjson
import pytest

from config.clock import now
from entitlements.models import Answer, Grant
from keystore.models import Consumer
from keystore.services import issue_key
from tests.conftest import NOON
from tests.entitlements.deeds import MONTH, give, revoke, subscribe

URL = "/api/v1/entitlements"
GRANT = "/api/v1/admin/grant"
REVOKE = "/api/v1/admin/revoke"
FOREVER = timedelta(days=3650)

# As a guide for callers prints it; its valid_to has passed since.
SEED_GRANT = {
    "user_id": "user_42",
    "feature_code": "labs",
    "granted_by": "support@spacehq",
    "reason": "VIP pilot",
    "valid_to": "2026-01-01T00:00:00Z",
}


def post(api, url, body, **headers):
    return api.post(url, body, format="json", headers=headers)


def asked(labs, **changes):
    wish = {**SEED_GRANT, "user_id": "alice", "feature_code": labs.code, **changes}
    return {name: value for name, value in wish.items() if value is not ...}


@pytest.fixture
def reader(journal, backend):
    """The text of a key that may only read."""
    terms = {"project": journal, "owner": backend, "actor": "system", "at": NOON}
    return issue_key(scopes=("entitlements:read",), **terms).plaintext


def test_a_user_sees_what_the_subscription_opened(api, alice, pro, export):
    subscribe(alice, pro, until=FOREVER)

    answer = api.get(URL, {"user_id": "alice"})

    body = orjson.loads(answer.content)
    assert (answer.status_code, body["plan"], body["version"]) == (200, "pro", 1)
    assert body["entitlements"][0] == {
        "feature_code": "export",
        "active": True,
        "source": "subscription",
        "source_id": "sub_1",
        "valid_from": "2026-03-01T12:00:00Z",
        "valid_to": "2036-02-27T12:00:00Z",
        "kind": "boolean",
        "value": True,
        "limit": None,
        "plan": "pro",
        "reset": None,
        "enforcement": None,
        "reason": "granted",
    }


def test_our_own_id_names_the_same_user(api, alice, labs):
    give(alice, feature=labs)

    by_theirs = api.get(URL, {"user_id": "alice", "project_id": alice.project_id})
    by_ours = api.get(URL, {"user_id": alice.public_id, "project_id": "journal"})

    assert by_theirs.content == by_ours.content


def test_an_unknown_user_has_an_empty_list(api, journal):
    answer = api.get(URL, {"user_id": "nobody"})

    assert (answer.status_code, orjson.loads(answer.content)["entitlements"]) == (200, [])
    assert Consumer.objects.count() == 0


def test_the_user_of_another_project_is_unknown(api, mallory):
    for user_id in ("mallory", mallory.public_id):
        answer = orjson.loads(api.get(URL, {"user_id": user_id}).content)
        assert (answer["consumer_id"], answer["entitlements"]) == (None, [])


def test_another_project_is_refused(api, orbit):
    answer = api.get(URL, {"user_id": "alice", "project_id": orbit.pk})
    assert (answer.status_code, answer.json()["code"]) == (403, "project_mismatch")


def test_a_request_without_user_is_told_what_is_missing(api):
    answer = api.get(URL)
    assert answer.status_code == 400
    assert [error["location"] for error in answer.json()["errors"]] == ["query.user_id"]


@pytest.mark.parametrize("user_id", ["a\x00b", "x" * 256, ""])
def test_an_impossible_user_id_is_refused(api, user_id):
    assert api.get(URL, {"user_id": user_id}).status_code == 400


def test_the_same_answer_is_not_sent_twice(api, alice, labs):
    give(alice, feature=labs)
    first = api.get(URL, {"user_id": "alice"})

    again = api.get(URL, {"user_id": "alice"}, headers={"If-None-Match": first["ETag"]})

    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert (
        first["Cache-Control"] == again["Cache-Control"] == ("private, max-age=0, must-revalidate")
    )


def test_an_answer_that_is_not_the_one_asked_for_is_a_problem(api, alice):
    refused = api.get(URL, {"user_id": "alice"}, headers={"If-Match": '"another"'})

    assert (refused.status_code, refused["Content-Type"]) == (412, "application/problem+json")
    assert refused.json()["code"] == "precondition_failed"


def test_a_change_gives_another_etag(api, alice, labs, export):
    give(alice, feature=labs)
    first = api.get(URL, {"user_id": "alice"})
    give(alice, feature=export, idempotency_key="ticket-2")

    again = api.get(URL, {"user_id": "alice"}, headers={"If-None-Match": first["ETag"]})

    assert (again.status_code, again["ETag"] != first["ETag"]) == (200, True)


def test_reading_needs_the_key_and_its_scope(api, reader):
    api.credentials()
    assert api.get(URL, {"user_id": "alice"}).status_code == 401

    api.credentials(HTTP_X_API_KEY=reader)
    assert api.get(URL, {"user_id": "alice"}).status_code == 200
    refused = post(api, GRANT, SEED_GRANT)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


def test_explain_says_who_won_and_who_lost(api, alice, basic, pro):
    subscribe(alice, basic, ref="sub_1", until=2 * FOREVER)
    subscribe(alice, pro, ref="sub_2", until=FOREVER)

    body = api.get(URL, {"user_id": "alice", "explain": "1"}).json()

    exports = next(one for one in body["explain"] if one["feature_code"] == "exports")
    assert (exports["winner"]["source_id"], exports["winner"]["limit"]) == ("sub_2", 100)
    losers = [(one["source_id"], one["why"]) for one in exports["losers"]]
    assert losers == [("sub_1", "less_generous")]
    assert (exports["since"], exports["until"]) == (
        "2026-03-01T12:00:00Z",
        "2036-02-27T12:00:00Z",
    )
    assert exports["changes"][0]["entitlement"]["limit"] == 10
    assert exports["sold_in"] == ["basic", "pro"]


def test_explain_names_the_denial(api, alice, pro, export):
    subscribe(alice, pro, until=FOREVER)
    denial = revoke(alice, export).denial

    url = f"{URL}/explain"
    body = api.get(url, {"user_id": "alice", "feature_code": "export"}).json()

    assert (body["winner"], body["denied_by"]["grant_id"]) == (None, denial.public_id)
    assert [one["why"] for one in body["losers"]] == ["denied"]


def test_explain_of_what_nothing_ever_opened_says_where_it_is_sold(api, alice, pro):
    body = api.get(f"{URL}/explain", {"user_id": "alice", "feature_code": "export"}).json()
    assert (body["entitlement"], body["losers"], body["sold_in"]) == (None, [], ["pro"])


def test_explain_of_an_unknown_feature_or_user_is_404(api, alice, labs):
    query = {"user_id": "alice", "feature_code": "nothing"}
    assert api.get(f"{URL}/explain", query).json()["code"] == "feature_not_found"
    query = {"user_id": "nobody", "feature_code": "labs"}
    assert api.get(f"{URL}/explain", query).json()["code"] == "consumer_not_found"


def test_the_printed_grant_is_recorded_as_ended_and_says_so(api, journal, labs):
    answer = post(api, GRANT, {**SEED_GRANT, "project_id": journal.pk})

    assert (answer.status_code, answer.json()["active"]) == (201, False)
    assert "already ended" in answer.json()["warning"]
    grant = Grant.objects.get()
    end = datetime(2026, 1, 1, tzinfo=UTC)
    assert (grant.valid_from, grant.valid_to) == (end - timedelta(seconds=1), end)
    assert Consumer.objects.get().external_id == "user_42"


def test_a_grant_opens_the_feature_at_once(api, alice, labs):
    answer = post(api, GRANT, asked(labs, valid_to=...))

    shown = answer.json()
    assert (shown["active"], shown["warning"], shown["source"]) == (True, None, "staff")
    found = orjson.loads(api.get(URL, {"user_id": "alice"}).content)["entitlements"]
    assert [(one["feature_code"], one["source_id"]) for one in found] == [
        ("labs", shown["grant_id"])
    ]


def test_a_plan_can_be_given(api, alice, pro):
    wish = {"user_id": "alice", "plan_code": "pro", "granted_by": "sam", "reason": "partner"}
    answer = post(api, GRANT, wish)

    assert (answer.status_code, answer.json()["plan_code"]) == (201, "pro")
    assert orjson.loads(api.get(URL, {"user_id": "alice"}).content)["plan"] == "pro"


def test_the_grant_of_a_limit_must_say_how_much(api, alice, exports):
    refused = post(api, GRANT, asked(exports, valid_to=...))
    assert refused.json()["errors"][0]["location"] == "body.limit"

    unlimited = post(api, GRANT, asked(exports, valid_to=..., limit=None))
    assert (unlimited.status_code, unlimited.json()["limit"]) == (201, None)


def test_a_config_value_can_be_given(api, alice, theme):
    post(api, GRANT, asked(theme, valid_to=..., config={"colour": "teal"}))

    found = orjson.loads(api.get(URL, {"user_id": "alice"}).content)["entitlements"]
    assert found[0]["value"] == {"colour": "teal"}


def test_an_unknown_feature_is_told_which_exist(api, journal, labs, export):
    answer = post(api, GRANT, {**SEED_GRANT, "feature_code": "labz"})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (404, "feature_not_found")
    assert problem["errors"][0]["fix"] == "Use one of: export, labs."
    assert Consumer.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        ({"valid_from": "2026-01-02T00:00:00Z"}, "body.valid_to"),
        ({"valid_from": "2025-01-01T00:00:00Z"}, "body.valid_to"),
        ({"valid_to": "0001-01-01T00:00:00Z"}, "body.valid_to"),
        ({"valid_to": "tomorrow"}, "body.valid_to"),
        ({"limit": 3, "valid_to": ...}, "body.limit"),
        ({"config": {"a": 1}, "valid_to": ...}, "body.config"),
        ({"limit": 2**63}, "body.limit"),
        ({"plan_code": "pro"}, "body.feature_code"),
        ({"feature_code": ...}, "body.feature_code"),
        ({"reason": ""}, "body.reason"),
        ({"granted_by": ...}, "body.granted_by"),
        ({"user_id": ["alice"]}, "body.user_id"),
    ],
)
def test_an_impossible_grant_is_refused_with_its_place(api, alice, labs, changes, location):
    answer = post(api, GRANT, asked(labs, **changes))

    assert answer.status_code == 400, answer.json()
    assert [error["location"] for error in answer.json()["errors"]] == [location]
    assert Grant.objects.count() == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"x"', b"{", b'{"user_id": {}}'])
def test_a_body_that_is_no_wish_is_refused(api, body):
    for url in (GRANT, REVOKE):
        answer = api.post(url, body, content_type="application/json")
        assert answer.status_code == 400


def test_a_made_up_id_of_ours_makes_no_user(api, labs, journal):
    answer = post(api, GRANT, asked(labs, user_id="con_" + "0" * 22))
    assert (answer.status_code, answer.json()["code"]) == (404, "consumer_not_found")
    assert Consumer.objects.count() == 0


def test_a_repeated_request_gives_the_first_grant(api, alice, labs):
    headers = {"Idempotency-Key": "ticket-17"}
    first = post(api, GRANT, asked(labs, valid_to=...), **headers)

    again = post(api, GRANT, asked(labs, valid_to=...), **headers)

    assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    assert Grant.objects.count() == 1


def test_revoke_ends_the_grant_and_is_visible_at_once(api, alice, labs):
    given = post(api, GRANT, asked(labs, valid_to=...)).json()
    wish = {"user_id": "alice", "feature_code": "labs", "revoked_by": "sam", "reason": "over"}

    answer = post(api, REVOKE, wish)

    body = answer.json()
    assert (answer.status_code, body["changed"], body["ended"], body["denial"]) == (
        200,
        True,
        [given["grant_id"]],
        None,
    )
    assert orjson.loads(api.get(URL, {"user_id": "alice"}).content)["entitlements"] == []


def test_revoke_of_a_paid_feature_denies_it(api, alice, pro):
    subscribe(alice, pro, until=FOREVER)
    wish = {"user_id": "alice", "feature_code": "export", "revoked_by": "sam", "reason": "abuse"}

    denial = post(api, REVOKE, wish).json()["denial"]

    found = orjson.loads(api.get(URL, {"user_id": "alice"}).content)["entitlements"]
    assert [(one["active"], one["source_id"]) for one in found] == [
        (False, denial),
        (True, "sub_1"),
    ]


@pytest.mark.parametrize("user_id", ["alice", "nobody"])
def test_revoke_of_what_is_not_there_changes_nothing(api, alice, labs, user_id):
    wish = {"user_id": user_id, "feature_code": "labs", "revoked_by": "sam", "reason": "over"}

    answer = post(api, REVOKE, wish)

    assert (answer.status_code, answer.json()["changed"]) == (200, False)
    assert Grant.objects.count() == 0


def test_the_feature_of_another_project_cannot_be_given_or_revoked(api, orbit, alice):
    from entitlements.models import Feature

    rockets = Feature.objects.create(project=orbit, code="rockets")
    wish = {"user_id": "alice", "feature_code": "rockets", "revoked_by": "sam", "reason": "x"}
    assert post(api, GRANT, asked(rockets)).status_code == 404
    assert post(api, REVOKE, wish).status_code == 404


def test_an_ended_subscription_is_gone_without_any_task(api, alice, pro):
    subscribe(alice, pro, until=MONTH)  # it ended long before now
    assert Answer.objects.get().changes_at < now()

    assert orjson.loads(api.get(URL, {"user_id": "alice"}).content)["entitlements"] == []


def test_the_catalogue_lists_the_projects_own(api, pro, basic, labs, orbit):
    from entitlements.models import Feature, Plan

    Feature.objects.create(project=orbit, code="rockets")
    Plan.objects.create(project=pro.project, code="secret", public=False)

    features = api.get("/api/v1/features").json()
    plans = api.get("/api/v1/plans").json()

    assert sorted(one["code"] for one in features["data"]) == ["export", "exports", "labs"]
    assert sorted(one["code"] for one in plans["data"]) == ["basic", "pro"]
    assert plans["has_more"] is False


def test_grant_says_whether_it_made_the_user_known(api, alice, labs):
    first = post(api, GRANT, asked(labs, user_id="alcie")).json()
    again = post(api, GRANT, asked(labs, user_id="alcie")).json()
    known = post(api, GRANT, asked(labs)).json()

    assert [one["consumer_created"] for one in (first, again, known)] == [True, False, False]
