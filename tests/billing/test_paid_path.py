"""From checkout to a working key: what a buyer, an app and Stripe do, in every order."""

import json
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.test import Client

from billing import gateway, inbox, missed, receipt, sweep
from billing.models import (
    Checkout,
    CheckoutState,
    InboxEvent,
    Operation,
    Payment,
    Refund,
    StripeCustomer,
    Subscription,
)
from billing.operations import settle_due
from entitlements.models import Grant
from keystore.models import ApiKey

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "whsec_tests_current"


@pytest.fixture
def shop(journal, api, pro_monthly, clock, monkeypatch):
    """Alice's way through journal's shop; Stripe's webhooks wait until `hear`."""
    for module in ("billing.views", "billing.api.checkout", "billing.api.portal"):
        monkeypatch.setattr(f"{module}.now", clock)
    monkeypatch.setattr("metering.api.keys.now", clock)
    monkeypatch.setattr("entitlements.api.now", clock)
    return Shop(api, pro_monthly, clock)


class Shop:
    def __init__(self, api, price, clock):
        self.api, self.price, self.clock = api, price, clock
        self.sandbox = clock.sandbox
        self.sandbox.deliver_to(self._deliver, SECRET)

    def _deliver(self, body, signature):
        receipt.keep(event=json.loads(body), at=self.clock())
        return 200

    def begin(self, user="alice", **more):
        asked = {"user_id": user, "price_id": self.price.stripe_price_id, **more}
        return self.api.post("/api/v1/checkout/session", asked, format="json")

    def pay(self, url, card="4242424242424242"):
        path = urlsplit(url).path
        form = {
            "number": card,
            "expiry": "12/34",
            "cvc": "123",
            "name": "A",
            "email": "a@b.example",
        }
        return self.sandbox.open_page("POST", path, query={}, form=form)

    def come_back(self, checkout_id):
        session = Checkout.objects.get(public_id=checkout_id).stripe_session_id
        return Client().get("/checkout/return", {"session_id": session})

    def hear(self):
        self.sandbox.webhooks.deliver_all()
        inbox.work_due(clock=self.clock, limit=500)

    def entitled(self, user="alice"):
        found = self.api.get("/api/v1/entitlements", {"user_id": user}).json()
        return [each["feature_code"] for each in found["entitlements"] if each["active"]]


def let_the_next_charge_fail(subscription):
    customer = subscription.consumer.stripe_customer.stripe_customer_id
    card = gateway.write(
        "/v1/payment_methods/pm_card_chargeCustomerFail/attach",
        {"customer": customer},
        idempotency_key="test:bad-card",
    )
    gateway.write(
        f"/v1/subscriptions/{subscription.stripe_subscription_id}",
        {"default_payment_method": card["id"]},
        idempotency_key="test:use-bad-card",
    )


def test_pay_come_back_claim_call_cancel(shop):
    begun = shop.begin().json()
    assert shop.pay(begun["url"]).status == 303
    page = shop.come_back(begun["id"])
    assert b"Collect your API key" in page.content
    assert shop.entitled() == ["pro"]

    session = Checkout.objects.get().stripe_session_id
    shown = Client().post("/checkout/claim", {"session_id": session}).content.decode()
    key = shown.split('id="api-key">')[1].split("<")[0]
    who = Client().get("/whoami", headers={"x-api-key": key})
    assert (who.status_code, who.json()["code"]) == (200, "VALID")

    again = Client().post("/checkout/claim", {"session_id": session}).content.decode()
    assert key not in again
    assert "was collected before" in again


def test_webhook_first_then_the_redirect_finds_it_done(shop):
    begun = shop.begin().json()
    shop.pay(begun["url"])

    shop.hear()
    assert shop.entitled() == ["pro"]
    shop.come_back(begun["id"])

    assert (Grant.objects.count(), ApiKey.objects.filter(app=None).count()) == (1, 1)
    assert set(InboxEvent.objects.values_list("state", flat=True)) <= {"done", "ignored"}


def test_webhook_never_and_no_redirect_the_sweeper_gives_it(shop, clock):
    begun = shop.begin().json()
    shop.pay(begun["url"])
    clock.advance(minutes=2)

    assert sweep.sweep_checkouts(clock=clock) == 1
    assert shop.entitled() == ["pro"]


def test_lost_webhooks_are_found_in_stripe_s_own_list(shop, clock):
    shop.pay(shop.begin().json()["url"])
    clock.advance(minutes=2)

    assert missed.fetch_missed_events(at=clock()) > 3
    inbox.work_due(clock=clock, limit=100)

    assert shop.entitled() == ["pro"]
    assert missed.fetch_missed_events(at=clock()) == 0


def test_the_app_reads_and_claims_over_the_api(shop):
    begun = shop.begin().json()
    where = f"/api/v1/checkout/session/{begun['id']}"
    assert shop.api.get(where).json()["state"] == "open"
    shop.pay(begun["url"])

    read = shop.api.get(where).json()
    assert (read["state"], read["key"]["claimable"], read["key"]["key"]) == ("complete", True, None)
    shop.api.head(where, {"claim": "1"})  # shows nothing, so it must take nothing
    claimed = shop.api.get(where, {"claim": "1"}).json()["key"]
    assert claimed["key"].startswith("lk_test_")
    assert shop.api.post(f"{where}/claim").json()["key"]["key"] is None


def test_cancelling_at_stripe_ends_access_and_the_key(shop, clock):
    begun = shop.begin().json()
    shop.pay(begun["url"])
    key = shop.api.get(f"/api/v1/checkout/session/{begun['id']}", {"claim": "1"}).json()["key"][
        "key"
    ]
    sub = Subscription.objects.get().stripe_subscription_id
    gateway.write(f"/v1/subscriptions/{sub}", {}, idempotency_key="test:c", method="delete")
    shop.hear()

    assert shop.entitled() == []
    who = Client().get("/whoami", headers={"x-api-key": key})
    assert (who.status_code, who.json()["code"]) == (401, "REVOKED")


def test_at_period_end_access_ends_by_itself(shop, clock):
    shop.pay(shop.begin().json()["url"])
    shop.hear()
    sub = Subscription.objects.get().stripe_subscription_id
    gateway.write(
        f"/v1/subscriptions/{sub}", {"cancel_at_period_end": "true"}, idempotency_key="test:p"
    )
    shop.hear()
    end = Subscription.objects.get().current_period_end
    assert shop.entitled() == ["pro"]

    clock.at = end  # nobody hears anything: time alone ends it
    assert shop.entitled() == []


def test_an_unpaid_renewal_keeps_access_for_the_grace_days(shop, clock):
    shop.pay(shop.begin().json()["url"])
    shop.hear()
    let_the_next_charge_fail(Subscription.objects.get())
    clock.advance(days=32)
    shop.hear()

    found = Subscription.objects.get()
    assert found.status == "past_due"
    assert shop.entitled() == ["pro"]
    clock.at = found.current_period_start + timedelta(days=7)
    assert shop.entitled() == []


def test_a_declined_card_gives_nothing_until_another_one_pays(shop):
    begun = shop.begin().json()
    assert shop.pay(begun["url"], card="4000000000000002").status != 303
    shop.come_back(begun["id"])
    assert shop.entitled() == []

    shop.pay(begun["url"])
    shop.come_back(begun["id"])
    assert shop.entitled() == ["pro"]


def test_two_tabs_get_the_same_page_and_one_subscription(shop):
    first, second = shop.begin().json(), shop.begin().json()

    assert first["url"] == second["url"]
    shop.pay(first["url"])
    shop.come_back(first["id"])
    refused = shop.begin()
    assert (refused.status_code, refused.json()["code"]) == (409, "already_subscribed")


def test_a_plan_paid_twice_is_paid_back_once(shop, clock):
    first = shop.begin().json()
    Checkout.objects.update(guarded=False)  # as if the guard had been passed by
    second = shop.begin().json()
    for begun in (first, second):
        shop.pay(begun["url"])
        clock.advance(seconds=1)
    shop.hear()
    for _ in range(3):
        settle_due(at=clock())
        shop.hear()

    states = Subscription.objects.order_by("started_at").values_list("status", flat=True)
    assert list(states) == ["active", "canceled"]
    assert shop.entitled() == ["pro"]
    assert [refund.amount_minor for refund in Refund.objects.all()] == [1499]
    assert clock.sandbox.executions(route="POST /v1/refunds") == 1
    assert ApiKey.objects.filter(app=None).count() == 1


def test_a_one_off_purchase_opens_its_plan_and_a_full_refund_ends_it(shop, lifetime, clock):
    begun = shop.begin(price_id=lifetime.stripe_price_id, mode="payment").json()
    shop.pay(begun["url"])
    shop.come_back(begun["id"])
    assert shop.entitled() == ["labs"]

    charge = Payment.objects.get().stripe_charge_id
    gateway.write("/v1/refunds", {"charge": charge}, idempotency_key="test:r")
    shop.hear()

    assert shop.entitled() == []
    assert ApiKey.objects.get(app=None).disabled_because == "payment"


def test_stripe_down_is_a_clear_503_and_stripe_silent_a_202(shop, clock):
    shop.sandbox.faults.add("POST /v1/checkout/sessions", "rate_limit", times=1)
    down = shop.begin()
    assert (down.status_code, down.json()["code"]) == (503, "stripe_unavailable")
    assert down["Retry-After"]

    settle_due(at=clock.at + timedelta(minutes=5))
    shop.sandbox.faults.add("POST /v1/checkout/sessions", "reset_after", times=1)
    slow = shop.begin(user="bob")
    assert (slow.status_code, slow.json()["state"]) == (202, "pending")
    settle_due(at=clock.at + timedelta(minutes=5))
    assert shop.api.get(slow["Location"].split("8000")[1]).json()["url"]
    assert Operation.objects.filter(kind="create_checkout").count() == 2


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"price_id": "price_none"}, 404, "price_not_found"),
        ({"price_id": None, "plan": "gold"}, 404, "price_not_found"),
        ({"success_url": "https://evil.example/"}, 400, "url_not_allowed"),
        ({"success_url": "https://app.example.com.evil.example/"}, 400, "url_not_allowed"),
        ({"success_url": "https://app.example.com@evil.example/"}, 400, "url_not_allowed"),
        ({"success_url": "javascript:alert(1)"}, 400, "url_not_allowed"),
        ({"success_url": "//app.example.com/"}, 400, "url_not_allowed"),
        ({"success_url": "https:app.example.com"}, 400, "url_not_allowed"),
        ({"success_url": "https://app.example.com\\@evil.example"}, 400, "url_not_allowed"),
        ({"mode": "payment"}, 400, "mode_mismatch"),
        ({"mode": "gift"}, 400, None),
        ({"quantity": 0}, 400, None),
        ({"user_id": ""}, 400, None),
        ({"project_id": 999}, 403, "project_mismatch"),
    ],
)
def test_bad_wishes_are_refused_and_change_nothing(shop, asked, status, code):
    whole = {"user_id": "alice", "price_id": shop.price.stripe_price_id, **asked}
    whole = {name: value for name, value in whole.items() if value is not None}

    answer = shop.api.post("/api/v1/checkout/session", whole, format="json")

    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code
    assert (Checkout.objects.count(), Operation.objects.count()) == (0, 0)


def test_another_project_s_price_is_none(shop, orbit):
    shop.price.project = orbit
    shop.price.save(update_fields=["project"])

    assert shop.begin().json()["code"] == "price_not_found"


def test_a_session_that_stripe_lacks_is_still_a_page(shop):
    """As after a change of the Stripe account."""
    begun = shop.begin().json()
    Checkout.objects.update(stripe_session_id="cs_test_of_another_account")

    assert shop.come_back(begun["id"]).status_code == 200


def test_an_expired_page_is_told_and_a_new_one_can_begin(shop, clock):
    begun = shop.begin().json()
    clock.advance(hours=25)

    assert shop.api.get(f"/api/v1/checkout/session/{begun['id']}").json()["state"] == "expired"
    assert shop.begin().json()["url"] != begun["url"]
    assert Checkout.objects.filter(state=CheckoutState.OPEN).count() == 1


def test_a_deleted_customer_loses_access_and_can_buy_again(shop, clock):
    shop.pay(shop.begin().json()["url"])
    shop.hear()
    holder = StripeCustomer.objects.get().stripe_customer_id
    gateway.write(f"/v1/customers/{holder}", {}, idempotency_key="test:d", method="delete")
    shop.hear()

    assert shop.entitled() == []
    assert clock.sandbox.executions(route="DELETE /v1/customers/{customer}") == 1
    assert shop.begin().status_code == 200


def test_an_archived_price_is_not_sold_but_keeps_what_was_bought(shop, clock):
    shop.pay(shop.begin().json()["url"])
    shop.hear()
    gateway.write(
        f"/v1/prices/{shop.price.stripe_price_id}", {"active": "false"}, idempotency_key="test:a"
    )
    shop.hear()

    assert shop.entitled() == ["pro"]
    assert shop.begin(user="bob").json()["code"] == "price_not_found"


def test_the_public_checkout_leads_nobody_to_somebody_else_s_page(shop, settings):
    settings.PUBLIC_CHECKOUT_PROJECT = "journal"
    asked = {
        "plan": "pro",
        "success_url": "https://app.example.com/",
        "cancel_url": "https://app.example.com/",
        "customer_email": "alice@example.com",
    }
    pages = []
    for _ in range(2):
        answer = Client().post("/billing/create-checkout-session", asked, "application/json")
        pages.append(answer.json()["url"])
    shop.pay(pages[0])
    shop.hear()

    later = Client().post("/billing/create-checkout-session", asked, "application/json")
    assert len({*pages, later.json()["url"]}) == 3
    assert Subscription.objects.get().consumer.external_id.startswith("guest_")


def test_a_user_named_by_our_id_buys_as_themselves(shop, alice):
    begun = shop.begin(alice.public_id)

    assert begun.json()["user_id"] == "alice"
    assert alice.project.consumers.count() == 1
