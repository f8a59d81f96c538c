"""Meters are rows: made, changed and archived by whoever may."""

import pytest

from config.clock import now
from keystore.models import AuditEntry
from metering.models import Meter
from metering.services import check_token_quota, record_token_usage, record_usage
from tests.metering.quota_cast import give, metered, sell
from tests.staff import client_of

PATH = "/api/v1/meters"


def test_meter_is_made_and_listed(api, journal):
    journal.features.create(code="tokens", kind="limit")
    wish = {"code": "tokens", "unit": "token", "feature_code": "tokens", "dimensions": ["model"]}
    answer = api.post(PATH, wish, format="json")
    assert (answer.status_code, answer.json()["feature_code"]) == (201, "tokens")
    assert [one["code"] for one in api.get(PATH).json()["data"]] == ["tokens"]
    assert AuditEntry.objects.get(act="meter.add").after["dimensions"] == ["model"]


def test_meter_code_and_feature_are_taken_once(api, journal):
    metered(journal)
    again = api.post(PATH, {"code": "tokens"}, format="json")
    other = api.post(PATH, {"code": "other", "feature_code": "tokens"}, format="json")
    assert [(one.status_code, one.json()["code"]) for one in (again, other)] == [
        (409, "meter_exists"),
        (409, "meter_exists"),
    ]


def test_change_leaves_what_is_not_named(api, journal):
    metered(journal, unit="token")
    answer = api.patch(f"{PATH}/tokens", {"thresholds": [50, 90]}, format="json")
    assert answer.json()["thresholds"] == [50, 90]
    assert (answer.json()["unit"], answer.json()["feature_code"]) == ("token", "tokens")


def test_counting_is_fixed_by_the_first_event(api, journal, alice):
    journal.meters.create(code="tokens")
    assert api.patch(f"{PATH}/tokens", {"aggregation": "max"}, format="json").status_code == 200
    record_usage(consumer=alice, meter="tokens", at=now())
    answer = api.patch(f"{PATH}/tokens", {"aggregation": "sum"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "meter_has_counted")
    assert Meter.objects.get().aggregation == "max"


def test_archived_meter_takes_no_more_events(api, journal, alice):
    metered(journal)
    answer = api.post(f"{PATH}/tokens/archive", {"reason": "replaced"}, format="json")
    assert answer.json()["archived_at"] is not None
    receipt = record_usage(consumer=alice, meter="tokens", at=now())
    assert (receipt.status, receipt.code) == ("rejected", "unknown_meter")


@pytest.mark.parametrize(
    "wish",
    [
        {"code": "a b"},
        {"code": "a", "aggregation": "median"},
        {"code": "a", "aggregation": "unique"},
        {"code": "a", "dimensions": ["x", "x"]},
        {"code": "a", "dimensions": ["user_id"]},
        {"code": "a", "thresholds": [0]},
    ],
)
def test_meter_that_makes_no_sense_is_refused(api, wish):
    assert api.post(PATH, wish, format="json").status_code == 400
    assert not Meter.objects.exists()


def test_scope_is_needed_to_change_meters(client, journal, backend):
    from keystore.services import issue_key

    key = issue_key(
        project=journal, owner=backend, scopes=("usage:read",), actor="test", at=now()
    ).plaintext
    assert client.get(PATH, headers={"X-API-Key": key}).status_code == 200
    for path in ("", "/tokens/archive"):
        assert client.post(f"{PATH}{path}", headers={"X-API-Key": key}).status_code == 403


def test_tokens_are_recorded_and_asked_for_from_python(journal, alice):
    give(alice, plan=sell(journal, "tokens", limit=1000), at=now())
    metered(journal, dimensions=["model"])
    receipt = record_token_usage(consumer=alice, tokens=600, metadata={"model": "x"}, at=now())
    assert receipt.status == "accepted"
    assert check_token_quota(consumer=alice, requested_tokens=400, at=now()) == (True, None)
    refused = (False, "400 tokens left of 1000.")
    assert check_token_quota(consumer=alice, requested_tokens=401, at=now()) == refused


def test_user_without_the_plan_may_not_use_tokens(journal, alice):
    metered(journal)
    refused = (False, "The plan does not contain tokens.")
    assert check_token_quota(consumer=alice, at=now()) == refused


def test_staff_make_a_meter_by_the_same_rules(journal):
    page = client_of("Operator")
    address = "/admin/metering/meter/add/"
    wish = {
        "project": journal.pk,
        "code": "seats",
        "aggregation": "unique",
        "dimensions": "[]",
        "thresholds": "[80]",
    }
    assert b"whose values it counts" in page.post(address, wish).content
    assert page.post(address, {**wish, "value_property": "seat"}).status_code == 302
    assert AuditEntry.objects.filter(act="meter.add").exists()
    assert b"its totals only" in page.get("/admin/metering/meter/").content
