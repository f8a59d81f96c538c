"""Quotas, reservations and credits over HTTP."""

import pytest

from keystore.services import issue_key
from metering.models import CreditPack, QuotaBalance, Reservation
from tests.conftest import NOON
from tests.metering.quota_cast import give, metered, sell


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("metering.api.quota.now", lambda: NOON)


@pytest.fixture
def tokens(journal, alice, clock):
    give(alice, plan=sell(journal, "tokens", limit=10))
    return metered(journal)


def reserve(api, **wish):
    asked = {"user_id": "alice", "meter": "tokens", "quantity": 4, **wish}
    return api.post("/api/v1/quota/reservations", asked, format="json")


def credit(api, **wish):
    asked = {"user_id": "alice", "meter": "tokens", "amount": 5, "reason": "bought", **wish}
    return api.post("/api/v1/credits", asked, format="json")


def test_quota_is_shown(api, tokens):
    reserve(api, quantity=4.5)
    credit(api)
    answer = api.get("/api/v1/quota", {"user_id": "alice"}).json()
    assert answer == {
        "user_id": "alice",
        "quotas": [
            {
                "meter": "tokens",
                "feature_code": "tokens",
                "limit": 10,
                "used": 0,
                "reserved": 4.5,
                "remaining": 5.5,
                "credits": 5,
                "overage": 0,
                "period_start": "2026-03-01T00:00:00Z",
                "period_end": "2026-04-01T00:00:00Z",
                "resets_at": "2026-04-01T00:00:00Z",
                "reset": "calendar_month",
                "enforcement": "hard",
                "unlimited": False,
            }
        ],
    }


def test_unlimited_quota_says_so(api, journal, bob, tokens):
    give(bob, plan=sell(journal, "tokens", limit=None))
    line = api.get("/api/v1/quota", {"user_id": "bob", "meter": "tokens"}).json()["quotas"][0]
    assert (line["limit"], line["remaining"], line["unlimited"]) == (None, None, True)


def test_nobody_has_no_quotas_and_an_unknown_meter_is_told(api, tokens):
    assert api.get("/api/v1/quota", {"user_id": "nobody"}).json()["quotas"] == []
    refused = api.get("/api/v1/quota", {"user_id": "alice", "meter": "tokns"})
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_meter")
    assert refused.json()["errors"][0]["fix"] == "Use one of: tokens."


def test_reserve_and_settle(api, tokens):
    kept = reserve(api)
    assert (kept.status_code, kept.json()["state"]) == (201, "held")
    settled = api.post(
        f"/api/v1/quota/reservations/{kept.json()['id']}/settle", {"quantity": 3}, format="json"
    )
    assert (settled.status_code, settled.json()["settled_quantity"]) == (200, 3)
    assert QuotaBalance.objects.get().used == 3


def test_reserve_and_release(api, tokens):
    kept = reserve(api).json()["id"]
    assert api.post(f"/api/v1/quota/reservations/{kept}/release").json()["state"] == "released"


def test_same_idempotency_key_reserves_once(api, tokens):
    api.credentials(**api._credentials, HTTP_IDEMPOTENCY_KEY="one")
    assert reserve(api).json() == reserve(api).json()
    assert Reservation.objects.count() == 1


def test_what_does_not_fit_is_429_with_when_to_come_back(api, tokens):
    refused = reserve(api, quantity=11)
    assert (refused.status_code, refused.json()["code"]) == (429, "usage_exceeded")
    assert refused["Retry-After"] == str(30 * 86400 + 12 * 3600 + 1)


def test_not_entitled_is_403_and_unknown_is_404(api, bob, tokens):
    refused = reserve(api, user_id="bob")
    assert (refused.status_code, refused.json()["code"]) == (403, "feature_not_entitled")
    assert reserve(api, user_id="nobody").json()["code"] == "consumer_not_found"
    assert api.post("/api/v1/quota/reservations/res_x/settle").status_code == 404


@pytest.mark.parametrize("quantity", [0, -1, "NaN", "Infinity", "1e400", "1" * 10000, None, [], {}])
def test_quantity_that_is_none_is_refused(api, tokens, quantity):
    assert reserve(api, quantity=quantity).status_code == 400
    assert not Reservation.objects.exists()


@pytest.mark.parametrize("ttl", [0, 86401, "soon"])
def test_reservation_lasts_a_second_to_a_day(api, tokens, ttl):
    assert reserve(api, ttl_seconds=ttl).status_code == 400


def test_credits_are_given_listed_and_taken_back(api, tokens):
    given = credit(api)
    assert (given.status_code, given.json()["remaining"]) == (201, 5)
    pack = given.json()["id"]
    taken = api.post(f"/api/v1/credits/{pack}/revoke", {"reason": "fraud"}, format="json")
    assert (taken.status_code, taken.json()["remaining"]) == (200, 0)
    listed = api.get("/api/v1/credits", {"user_id": "alice"}).json()["data"]
    assert [one["id"] for one in listed] == [pack]


def test_same_idempotency_key_gives_credits_once(api, tokens):
    api.credentials(**api._credentials, HTTP_IDEMPOTENCY_KEY="one")
    assert credit(api).json() == credit(api).json()
    assert CreditPack.objects.count() == 1


def test_writing_usage_does_not_allow_giving_credits(api, journal, backend, tokens):
    key = issue_key(
        project=journal, owner=backend, scopes=("usage:write",), actor="system", at=NOON
    )
    api.credentials(HTTP_X_API_KEY=key.plaintext)
    assert reserve(api).status_code == 201
    assert credit(api).json()["code"] == "insufficient_scope"
    assert api.get("/api/v1/quota", {"user_id": "alice"}).status_code == 403


def test_nothing_crosses_projects(api, orbit, mallory, tokens):
    other = metered(orbit)
    give(mallory, plan=sell(orbit, "tokens"))
    backend = orbit.apps.create(name="backend")
    key = issue_key(project=orbit, owner=backend, scopes=("*",), actor="system", at=NOON)
    kept, pack = reserve(api).json()["id"], credit(api).json()["id"]
    api.credentials(HTTP_X_API_KEY=key.plaintext)
    assert api.post(f"/api/v1/quota/reservations/{kept}/release").status_code == 404
    revoke = api.post(f"/api/v1/credits/{pack}/revoke", {"reason": "x"}, format="json")
    assert revoke.status_code == 404
    assert reserve(api).json()["code"] == "consumer_not_found"
    assert other.quota_balances.count() == 0
