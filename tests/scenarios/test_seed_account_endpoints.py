"""Every request of seeds 001 and 004, with the body that the seed prints, on the demo data."""

import pytest

# --- Seed 001: subscriptions and payment methods ---


@pytest.fixture(scope="module")
def subscribed(demo):
    """What subscribing with a saved card answered, for a user of its own."""
    from rest_framework.test import APIClient

    from tests.scenarios.conftest import APP_KEY

    client = APIClient()
    client.credentials(HTTP_X_API_KEY=APP_KEY)
    card = {"user_id": "user_001", "payment_method_id": "pm_card_visa"}
    client.post("/api/v1/consumers/register", {"user_id": "user_001"}, format="json")
    client.post("/api/v1/payment-methods", card, format="json")
    wish = {"user_id": "user_001", "plan": "pro", "payment_method": "default"}
    return client.post("/api/v1/subscriptions", wish, format="json").json()


def test_001_create_subscription_answers_a_checkout_session(seed):
    wish = {"user_id": "user_001_new", "plan": "pro", "success_url": "https://app.local/success"}

    answer = seed.post("/api/v1/subscriptions", wish, format="json")

    assert answer.status_code == 200
    assert answer.json()["checkout_url"].startswith("http")


def test_001_create_subscription_or_direct_subscription_data(subscribed):
    assert subscribed["status"] == "active"
    assert subscribed["subscription"]["id"] == subscribed["id"]


def test_001_list_subscriptions(seed, subscribed):
    (found,) = seed.get("/api/v1/subscriptions?user_id=user_001").json()["data"]

    assert found["id"] == subscribed["id"]


def test_001_get_subscription(seed, subscribed):
    found = seed.get(f"/api/v1/subscriptions/{subscribed['id']}").json()

    wanted = {"id", "plan", "api", "status", "current_period_end", "cancel_at_period_end"}
    assert wanted <= set(found)


def test_001_upgrade_subscription(seed, subscribed):
    url = f"/api/v1/subscriptions/{subscribed['id']}/upgrade"

    answer = seed.put(url, {"plan": "team"}, format="json")

    assert (answer.status_code, answer.json()["plan"]) == (200, "team")


def test_001_cancel_subscription(seed):
    card = {"user_id": "user_001_leaves", "payment_method_id": "pm_card_visa"}
    seed.post("/api/v1/consumers/register", {"user_id": "user_001_leaves"}, format="json")
    seed.post("/api/v1/payment-methods", card, format="json")
    wish = {"user_id": "user_001_leaves", "plan": "basic", "payment_method": "default"}
    made = seed.post("/api/v1/subscriptions", wish, format="json").json()

    answer = seed.put(f"/api/v1/subscriptions/{made['id']}/cancel", {}, format="json")

    assert (answer.status_code, answer.json()["cancel_at_period_end"]) == (200, True)


def test_001_subscription_usage(seed, subscribed):
    told = seed.get(f"/api/v1/subscriptions/{subscribed['id']}/usage").json()

    assert {"tokens", "api_calls"} <= {line["meter"] for line in told["meters"]}


def test_001_payment_methods(seed):
    seed.post("/api/v1/consumers/register", {"user_id": "user_001_cards"}, format="json")
    for card in ("pm_card_visa", "pm_card_mastercard"):
        wish = {"user_id": "user_001_cards", "payment_method_id": card}
        assert seed.post("/api/v1/payment-methods", wish, format="json").status_code == 200
    listed = seed.get("/api/v1/payment-methods?user_id=user_001_cards").json()["data"]
    newest, first = (one["id"] for one in listed)

    preferred = seed.put(f"/api/v1/payment-methods/{newest}/default", {}, format="json")
    removed = seed.delete(f"/api/v1/payment-methods/{first}")

    assert (preferred.json()["is_default"], removed.json()["deleted"]) == (True, True)


def test_001_add_payment_method_without_card_data(seed):
    wish = {"user_id": "user_001_new", "return_url": "https://app.local/account"}
    seed.post("/api/v1/consumers/register", {"user_id": "user_001_new"}, format="json")

    answer = seed.post("/api/v1/payment-methods", wish, format="json")

    assert (answer.status_code, answer.json()["client_secret"][:5]) == (201, "seti_")


# --- Seed 001: creator analytics ---


@pytest.mark.parametrize("what", ["usage", "earnings"])
def test_001_usage_and_earnings_of_an_api(seed, what):
    creator = {"user_id": "user_42", "country": "US", "currency": "usd"}
    seed.post("/api/v1/creators", creator, format="json")
    listed = {"user_id": "user_42", "code": f"telescopes-{what}", "name": "Telescopes"}
    api_id = seed.post("/api/v1/apis", listed, format="json").json()["id"]

    answer = seed.get(f"/api/v1/apis/{api_id}/{what}")

    assert answer.status_code == 200
    assert answer.json()["api"] == api_id
    assert answer.json()["data"] == []


# --- Seed 001: invoices ---


def test_001_list_invoices(seed, subscribed):
    listed = seed.get("/api/v1/invoices?user_id=user_001").json()["data"]

    assert {(one["user_id"], one["status"]) for one in listed} == {("user_001", "paid")}


def test_001_get_invoice(seed, subscribed):
    invoice = seed.get("/api/v1/invoices?user_id=user_001").json()["data"][-1]

    told = seed.get(f"/api/v1/invoices/{invoice['id']}").json()

    assert told["total_minor"] == sum(line["amount_minor"] for line in told["lines"]["data"])


def test_001_download_invoice(seed, subscribed):
    invoice = seed.get("/api/v1/invoices?user_id=user_001").json()["data"][-1]

    answer = seed.get(f"/api/v1/invoices/{invoice['id']}/download")

    assert (answer.status_code, answer["Location"][-4:]) == (302, ".pdf")


# --- Seed 004 ---


def test_004_checkout(seed):
    wish = {"user_id": "user_004", "plan": "pro", "success_url": "https://app.local/success"}

    answer = seed.post("/api/billing/checkout", wish, format="json")

    assert answer.status_code == 200
    assert answer.json()["checkout_url"].startswith("http")


def test_004_portal(seed, subscribed):
    answer = seed.post("/api/billing/portal", {"user_id": "user_001"}, format="json")

    assert answer.status_code == 200
    assert answer.json()["portal_url"].startswith("http")


def test_004_subscription(seed, subscribed):
    told = seed.get("/api/billing/subscription?user_id=user_001").json()

    assert (told["status"], told["subscription"]["id"]) == ("active", subscribed["id"])


def test_004_quota(seed, subscribed):
    limits = seed.get("/api/billing/quota?user_id=user_001").json()["limits"]

    assert {"tokens", "api_calls", "scraping_tasks"} <= set(limits)


def test_004_usage(seed, subscribed):
    told = seed.get("/api/billing/usage?user_id=user_001").json()

    assert {"tokens", "api_calls", "scraping_tasks"} <= set(told["usage"])
    assert told["period_start"] < told["period_end"]


def test_004_invoices(seed, subscribed):
    spelled = seed.get("/api/billing/invoices?user_id=user_001").json()

    assert spelled == seed.get("/api/v1/invoices?user_id=user_001").json()


def test_004_admin_users(seed, subscribed):
    (found,) = seed.get("/api/billing/admin/users?user_id=user_001").json()["data"]

    own = seed.get("/api/billing/subscription?user_id=user_001").json()
    assert (found["status"], found["plan"]) == ("active", own["plan"])
    assert {"tokens", "api_calls"} <= {line["meter"] for line in found["usage"]}


def test_004_admin_invoices(seed, subscribed):
    listed = seed.get("/api/billing/admin/invoices?user_id=user_001").json()["data"]

    assert listed
    assert {one["user_id"] for one in listed} == {"user_001"}
