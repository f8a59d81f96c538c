"""Codes that cannot be had, currencies that count, and discounts that staff give."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from billing import gateway
from billing.models import Coupon, Invoice, Operation, Price, PromotionCode, Subscription
from billing.promotions.codes import PromotionCodeUnknown, usable_code
from billing.promotions.offers import offer_code, offer_coupon, withdraw_code, withdraw_coupon
from billing.promotions.terms import CodeTerms, CouponTerms
from billing.refusals import PromotionCodeUnusable
from config.errors import DomainError
from keystore.models import AuditEntry
from tests.billing.admin.conftest import say
from tests.billing.conftest import sell
from tests.billing.subscribers import at_stripe, follow, subscribe
from tests.conftest import NOON
from tests.staff import client_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def offer(journal, pro_monthly, clock):
    """Makes a coupon with a code of the same name in capitals."""

    def make(code="fifth", code_terms=None, **terms):
        given = {"percent_off": Decimal(20), **terms}
        told = {"actor": "system", "reason": "Sale", "clock": clock}
        coupon = offer_coupon(project=journal, terms=CouponTerms(code=code, **given), **told)
        wanted = CodeTerms(code.upper(), **(code_terms or {}))
        return offer_code(coupon=coupon, terms=wanted, **told)

    return make


def usable(journal, alice, price, text="fifth", **more):
    told = {"project": journal, "text": text, "consumer": alice, "price": price, "at": NOON}
    return usable_code(**{"quantity": 1, **told, **more})


def test_a_code_is_found_in_any_case_and_an_unknown_one_is_not(journal, alice, pro_monthly, offer):
    made = offer()

    assert usable(journal, alice, pro_monthly) == made
    assert gateway.read(f"/v1/promotion_codes/{made.stripe_promotion_code_id}")["active"]
    with pytest.raises(PromotionCodeUnknown):
        usable(journal, alice, pro_monthly, text="sixth")


@pytest.mark.parametrize(
    ("terms", "code_terms", "said"),
    [
        ({"redeem_by": NOON + timedelta(days=1)}, {}, "ended on"),
        ({}, {"expires_at": NOON + timedelta(days=1)}, "ended on"),
        ({"max_redemptions": 1}, {}, "used up"),
        ({"percent_off": None, "amount_off_minor": 500, "currency": "eur"}, {}, "in EUR"),
        ({}, {"minimum_minor": 5000, "minimum_currency": "usd"}, "at least 50.00 USD"),
        ({"plans": ("team",)}, {}, "not for Pro"),
    ],
)
def test_a_code_that_does_not_fit_says_why(
    journal, alice, pro_monthly, offer, stripe_world, terms, code_terms, said
):
    from entitlements.models import Plan

    sell(Plan.objects.create(project=journal, code="team"), stripe_world, amount_minor=1)
    offer(code_terms=code_terms, **terms)
    Coupon.objects.update(times_redeemed=1)

    with pytest.raises(PromotionCodeUnusable, match=said):
        usable(journal, alice, pro_monthly, at=NOON + timedelta(days=2))


def test_a_code_for_first_purchases_or_somebody_else_is_refused(
    journal, alice, bob, pro_monthly, offer, clock
):
    offer("first", {"first_time": True})
    offer("bobs", {"consumer": bob})
    subscribe(alice, pro_monthly, clock)

    for text in ("first", "bobs"):
        with pytest.raises(PromotionCodeUnusable):
            usable(journal, alice, pro_monthly, text=text)
    assert usable(journal, bob, pro_monthly, text="bobs").consumer == bob


def test_what_is_withdrawn_cannot_be_redeemed_here_or_at_stripe(
    journal, alice, pro_monthly, offer, clock
):
    code, other = offer(), offer("other")
    told = {"actor": "system", "reason": "Over", "clock": clock}
    withdraw_code(code=code, **told)
    withdraw_coupon(coupon=other.coupon, **told)

    assert not gateway.read(f"/v1/promotion_codes/{code.stripe_promotion_code_id}")["active"]
    assert gateway.read(f"/v1/coupons/{other.coupon.stripe_coupon_id}")["deleted"]
    for text in ("fifth", "other"):
        with pytest.raises(PromotionCodeUnusable):
            usable(journal, alice, pro_monthly, text=text)
    with pytest.raises(DomainError, match="not on offer"):
        withdraw_code(code=code, **told)


@pytest.mark.parametrize(
    "bad",
    [
        {"code": "A B"},
        {"percent_off": Decimal(101)},
        {"percent_off": None},
        {"amount_off_minor": 5, "currency": "usd"},
        {"percent_off": None, "amount_off_minor": 5},
        {"duration": "repeating"},
        {"duration_in_months": 3},
        {"plans": ("nosuch",)},
        {"redeem_by": NOON},
    ],
)
def test_bad_terms_make_no_coupon(journal, clock, bad):
    terms = CouponTerms(**{"code": "x", "percent_off": Decimal(5), **bad})

    with pytest.raises(DomainError):
        offer_coupon(project=journal, terms=terms, actor="system", reason="x", clock=clock)
    assert (Coupon.objects.count(), Operation.objects.count()) == (0, 0)


def test_an_answer_that_is_lost_makes_one_coupon(journal, stripe_world, clock):
    from billing.operations import settle_due

    stripe_world.faults.add("POST /v1/coupons", "reset_after", times=1)
    terms = CouponTerms(code="once", percent_off=Decimal(5))
    row = offer_coupon(project=journal, terms=terms, actor="system", reason="x", clock=clock)
    assert (row.active, row.problem) == (False, "")
    settle_due(at=NOON + timedelta(hours=1))

    row.refresh_from_db()
    assert row.active
    assert stripe_world.executions(route="POST /v1/coupons") == 1


def test_a_code_changes_a_plan_for_what_the_preview_told(
    api, alice, journal, pro_monthly, offer, clock, stripe_world
):
    from entitlements.models import Plan

    team = sell(
        Plan.objects.create(project=journal, code="team", rank=30), stripe_world, amount_minor=4900
    )
    subscription = subscribe(alice, pro_monthly, clock)
    offer("grow", percent_off=Decimal(50), duration="forever")
    base = f"/api/v1/subscriptions/{subscription.stripe_subscription_id}"
    wish = {"plan": "team", "promotion_code": "GROW", "prorate": False}
    from billing.subscriptions import preview_plan_change

    code = PromotionCode.objects.get()
    told = preview_plan_change(
        subscription=subscription, price=team, prorate=False, at=NOON, code=code
    )
    assert (told.next_minor, told.next_sums.discount_minor) == (2450, 2450)
    refused = api.post(f"{base}/preview", {**wish, "promotion_code": "nosuch"}, format="json")
    assert refused.json()["code"] == "promotion_code_not_found"


def test_staff_give_a_discount_and_take_it_away(alice, pro_monthly, offer, clock):
    subscription = subscribe(alice, pro_monthly, clock)
    coupon = offer(duration="forever").coupon
    staff = client_of("Support")
    page = reverse("admin:billing_subscription_give_discount", args=[subscription.pk])
    asked = say("They waited long", what=coupon.public_id)

    first = staff.post(page, asked).content.decode()
    assert "11.99 USD" in first
    assert at_stripe(subscription)["discounts"] == []
    staff.post(page, {**asked, "seen_for": coupon.public_id})
    subscription.refresh_from_db()
    held = subscription.discounts[0]
    assert (held["coupon"], subscription.upcoming["total_minor"]) == ("fifth", 1199)
    entry = AuditEntry.objects.get(act="subscription.give_discount")
    assert entry.reason == "They waited long"

    page = reverse("admin:billing_subscription_take_discount", args=[subscription.pk])
    staff.post(page, say("Over", what=held["id"], seen_for=held["id"]))
    subscription.refresh_from_db()
    assert (subscription.discounts, subscription.upcoming) == ([], None)


def test_staff_offer_a_coupon_and_a_code_in_the_admin(journal, pro_monthly, stripe_world):
    staff = client_of("Finance")
    asked = {
        "project": journal.pk,
        "code": "five",
        "amount": "5.00",
        "currency": "usd",
        "duration": "once",
        "plans": "pro",
        **say("Sale"),
    }
    made = staff.post(reverse("admin:billing_coupon_offer"), asked)
    assert made.headers.get("HX-Redirect"), made.content.decode()[-600:]
    coupon = Coupon.objects.get()
    page = reverse("admin:billing_coupon_add_code", args=[coupon.pk])
    staff.post(page, say("Sale", code="five-off"))

    found = gateway.read(f"/v1/coupons/{coupon.stripe_coupon_id}", expand=["applies_to"])
    assert found["applies_to"]["products"] == [pro_monthly.stripe_product_id]
    assert (PromotionCode.objects.get().code, found["amount_off"]) == ("FIVE-OFF", 500)
    shown = staff.get(reverse("admin:billing_coupon_change", args=[coupon.pk])).content.decode()
    assert "FIVE-OFF" in shown
    assert "5.00 USD" in shown


def test_the_prices_in_all_currencies_and_the_one_that_counts(
    api, alice, journal, pro, pro_monthly, stripe_world, clock
):
    euros = sell(pro, stripe_world, amount_minor=1399, currency="eur")
    yen = sell(pro, stripe_world, amount_minor=2100, currency="jpy")
    Price.objects.filter(pk=yen.pk).update(amount_minor=2100)

    def told(**asked):
        return api.get("/api/v1/prices", asked).json()

    assert told()["data"][0]["currencies"] == ["jpy", "eur", "usd"]
    assert told(currency="eur")["data"][0]["yours"]["id"] == euros.stripe_price_id
    assert "not sold in GBP" in told(currency="gbp")["data"][0]["problem"]
    subscribe(alice, pro_monthly, clock)
    held = told(user_id="alice")
    assert (held["currency"], held["currency_from"], held["currency_fixed"]) == (
        "usd",
        "subscription",
        True,
    )
    wish = {"user_id": "alice", "plan": "pro", "currency": "eur"}
    refused = api.post("/api/v1/subscriptions", wish, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "currency_fixed")
    assert Subscription.objects.count() == 1


def test_an_invoice_that_cannot_be_finalized_shows_up_to_staff(alice, journal, pro_monthly, clock):
    from billing.customers import ensure_customer
    from billing.models import BillingPolicy

    BillingPolicy.objects.create(project=journal, tax="automatic")
    holder = ensure_customer(consumer=alice, actor="system", at=NOON)
    path = f"/v1/customers/{holder.stripe_customer_id}"
    gateway.write(path, {"address": {"country": "DE"}}, idempotency_key="t:address")
    subscription = subscribe(alice, pro_monthly, clock, automatic_tax={"enabled": True})
    assert (subscription.taxed, subscription.upcoming["tax_minor"]) == (True, 285)
    gone = {"address": "", "tax": {"validate_location": "deferred"}}
    gateway.write(path, gone, idempotency_key="t:gone")
    clock.advance(days=31, hours=2)
    follow(holder, clock)

    stuck = Invoice.objects.get(status="draft")
    assert "location" in stuck.problem
    page = reverse("admin:keystore_consumer_change", args=[alice.pk])
    assert "could not be finalized" in client_of("Support").get(page).content.decode()
