"""Every request of seeds 000, 002 and 003, with the body that the seed prints, on the demo data.

Those of 001 and 004 are in test_seed_account_endpoints.
"""

import json
import os
import subprocess
import sys

import pytest
from django.test import Client
from pytest_django.live_server_helper import LiveServer

CHECKOUT = {
    "user_id": "user_42",
    "project_id": 1,
    "price_id": "price_123",
    "mode": "subscription",
    "success_url": "https://app.local/success",
    "cancel_url": "https://app.local/cancel",
}
PORTAL = {"user_id": "user_42", "project_id": 1, "return_url": "https://app.local/account"}
GRANT = {
    "user_id": "user_42",
    "project_id": 1,
    "feature_code": "labs",
    "granted_by": "support@spacehq",
    "reason": "VIP pilot",
    "valid_to": "2026-01-01T00:00:00Z",
}
ENTITLEMENTS = "/api/v1/entitlements?user_id=user_42&project_id=1"
PUBLIC_CHECKOUT = {
    "plan": "pro",
    "success_url": "http://localhost/success",
    "cancel_url": "http://localhost/cancel",
    "customer_email": "user@example.com",
}
# What seed 003 prints in 3.6, but for the address.
REPLAY = """
import hmac, hashlib, json, time, urllib.request
secret = "whsec_placeholder"  # replace with your signing secret
events = [
    {
        "id": "evt_cli_pi_succeeded",
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": "pi_cli_123", "customer": "cus_cli_123", "amount": 1499, "currency": "usd"}}
    }
]
for event in events:
    payload = json.dumps(event).encode()
    ts = str(int(time.time()))
    sig = hmac.new(secret.encode(), f"{ts}.".encode() + payload, hashlib.sha256).hexdigest()
    req = urllib.request.Request(
        "http://localhost:8000/api/v1/webhooks/stripe",
        data=payload,
        headers={"Content-Type": "application/json", "stripe-signature": f"t={ts},v1={sig}"},
        method="POST",
    )
    with urllib.request.urlopen(req) as resp:
        print(event["type"], resp.status, resp.read().decode())
"""  # noqa: E501


# --- Seed 000 ---


def test_000_create_checkout_session_answers_a_url_without_a_key(demo, settings):
    settings.PUBLIC_CHECKOUT_PROJECT = "space_journal"
    settings.DEBUG = True  # http://localhost is a way back on developers' machines only

    answer = Client().post(
        "/billing/create-checkout-session", PUBLIC_CHECKOUT, content_type="application/json"
    )

    assert answer.status_code == 200
    assert list(answer.json()) == ["url"]


def test_000_a_buyer_without_an_email_is_asked_by_the_payment_page(demo, settings):
    settings.PUBLIC_CHECKOUT_PROJECT = "space_journal"
    settings.DEBUG = True
    wish = {name: value for name, value in PUBLIC_CHECKOUT.items() if name != "customer_email"}

    answer = Client().post(
        "/billing/create-checkout-session", wish, content_type="application/json"
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("plan", ["pro", "team", "enterprise"])
def test_000_sells_its_three_plans(demo, settings, plan):
    settings.PUBLIC_CHECKOUT_PROJECT = "space_journal"
    settings.DEBUG = True

    answer = Client().post(
        "/billing/create-checkout-session",
        {**PUBLIC_CHECKOUT, "plan": plan},
        content_type="application/json",
    )

    assert answer.status_code == 200


def test_000_webhook_is_verified(demo):
    assert Client().post("/billing/webhook", b"{}", content_type="application/json").json()[
        "code"
    ] == ("signature_invalid")


def test_000_whoami_knows_the_key_that_the_checkout_made(demo):
    from config.clock import now
    from keystore.handover import claim_key
    from keystore.models import KeyClaim

    waiting = KeyClaim.objects.filter(claimed_at=None, key__revoked_at=None).first()
    key = claim_key(key=waiting.key, at=now())
    answer = Client().get("/whoami", headers={"X-API-Key": key})

    assert (answer.status_code, answer.json()["code"]) == (200, "VALID")


def test_000_the_rate_limits_of_the_plans(demo):
    from entitlements.models import Plan

    limits = dict(Plan.objects.values_list("code", "limit_per_minute"))
    assert (limits["pro"], limits["team"], limits["enterprise"]) == (600, 2400, 10000)


# --- Seeds 000 to 003 ---


def test_health_is_as_the_seed_expects(demo):
    assert Client().get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/ready", "/live", "/docs", "/redoc"])
def test_002_probes_and_documents_answer(demo, path):
    assert Client().get(path).status_code == 200


# --- Seeds 002 and 003 ---


def test_003_checkout_session(seed):
    answer = seed.post("/api/v1/checkout/session", CHECKOUT, format="json")

    assert answer.status_code == 200
    assert answer.json()["checkout_url"].startswith("http")


def test_003_portal_session(seed):
    seed.post("/api/v1/checkout/session", CHECKOUT, format="json")

    answer = seed.post("/api/v1/portal/session", PORTAL, format="json")

    assert answer.status_code == 200
    assert answer.json()["portal_url"].startswith("http")


def test_003_portal_before_any_checkout_says_what_to_do(seed):
    stranger = {**PORTAL, "user_id": "user_43"}

    answer = seed.post("/api/v1/portal/session", stranger, format="json")

    assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")
    assert "Complete a checkout first" in answer.json()["detail"]


def test_003_entitlements_have_the_seed_s_fields(seed):
    wish = {**GRANT, "user_id": "user_44", "valid_to": "2036-01-01T00:00:00Z"}
    seed.post("/api/v1/admin/grant", wish, format="json")

    where = ENTITLEMENTS.replace("user_42", "user_44")
    (found,) = seed.get(where).json()["entitlements"]

    wanted = ("feature_code", "active", "source", "source_id", "valid_from", "valid_to")
    assert set(wanted) <= set(found)
    assert (found["feature_code"], found["active"]) == ("labs", True)


def test_003_entitlements_of_a_user_without_any_is_an_empty_list(seed):
    nobody = ENTITLEMENTS.replace("user_42", "user_43")
    assert seed.get(nobody).json()["entitlements"] == []


def test_003_grant_as_printed_is_recorded_although_its_end_has_passed(seed):
    answer = seed.post("/api/v1/admin/grant", GRANT, format="json")

    assert answer.status_code == 201
    assert (answer.json()["active"], bool(answer.json()["warning"])) == (False, True)


def test_003_revoke_is_the_twin_of_grant(seed):
    seed.post("/api/v1/admin/grant", {**GRANT, "valid_to": "2036-01-01T00:00:00Z"}, format="json")
    twin = {name: GRANT[name] for name in ("user_id", "project_id", "feature_code", "reason")}

    answer = seed.post(
        "/api/v1/admin/revoke", {**twin, "revoked_by": "support@spacehq"}, format="json"
    )

    assert (answer.status_code, answer.json()["changed"]) == (200, True)
    assert seed.get(ENTITLEMENTS).json()["entitlements"] == []


@pytest.mark.parametrize("figure", ["subscriptions", "revenue"])
def test_003_metrics(seed, figure):
    answer = seed.get(f"/api/v1/metrics/project/1/{figure}")

    assert (answer.status_code, answer.json()["project_id"]) == (200, 1)


def test_003_metrics_count_what_the_demo_sold(seed):
    from billing.models import Subscription

    subscriptions = seed.get("/api/v1/metrics/project/1/subscriptions").json()
    revenue = seed.get("/api/v1/metrics/project/1/revenue").json()["revenue"]

    # Users of other tests here may have subscribed before.
    more = Subscription.objects.filter(consumer__external_id__startswith="user_001")
    extra = sum(more.values_list("mrr_minor", flat=True))
    active = 1 + more.count()
    assert subscriptions["by_status"] == {"active": active, "canceled": 1, "past_due": 1}
    assert subscriptions["mrr"] == [{"currency": "usd", "amount_minor": 1499 + extra}]
    assert [line["currency"] for line in revenue] == ["usd"]


def test_003_webhook_replay_script_runs_as_printed(demo, settings):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_other", "whsec_placeholder"]
    server = LiveServer("127.0.0.1")
    try:
        script = REPLAY.replace("http://localhost:8000", server.url)
        said = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": os.environ["PATH"]},
            timeout=30,
        ).stdout
    finally:
        server.stop()

    assert said.startswith("payment_intent.succeeded 200 ")
    assert json.loads(said.split(" 200 ")[1])["received"] is True


def test_003_401_without_a_known_key(demo):
    answer = Client().get(ENTITLEMENTS, headers={"X-API-Key": "sk_demo_wrong"})

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")


def test_003_403_for_another_project(seed):
    answer = seed.get("/api/v1/entitlements?user_id=user_42&project_id=2")

    assert (answer.status_code, answer.json()["code"]) == (403, "project_mismatch")


def test_003_401_when_the_app_is_switched_off(seed):
    from keystore.models import App

    App.objects.update(is_active=False)
    refused = seed.get(ENTITLEMENTS)
    App.objects.update(is_active=True)
    assert refused.status_code == 401
