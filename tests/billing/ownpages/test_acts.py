"""What customers do on their pages: their own things only, once, and in words when it fails."""

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from billing.models import Checkout, Subscription
from config.clock import now
from entitlements.models import Plan
from keystore.models import ApiKey, AuditEntry
from keystore.services import issue_key, issue_key_to_collect
from tests.billing.admin.test_acts import stripe_world  # noqa: F401  a Stripe at the present hour
from tests.billing.conftest import sell
from tests.billing.ownpages.conftest import open_as
from tests.billing.subscribers import at_stripe, give_card, invoices_of, subscribe

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def subscription(alice, pro_monthly):
    """Alice pays 14.99 USD a month for pro."""
    return subscribe(alice, pro_monthly, now)


@pytest.fixture
def team_monthly(journal, stripe_world):  # noqa: F811
    """49.99 USD a month."""
    plan = Plan.objects.create(project=journal, code="team", name="Team", rank=40)
    return sell(plan, stripe_world, amount_minor=4999)


@pytest.fixture
def key(alice):
    issued = issue_key(project=alice.project, owner=alice, scopes=(), actor="t", at=now())
    return issued.key


def said(answer):
    """What the page that an act leads back to will say."""
    return [str(each) for each in get_messages(answer.wsgi_request)]


def change_of(subscription, price):
    return f"/dashboard/subscriptions/{subscription}/change/{price.stripe_price_id}"


def shown_on(answer):
    return {
        name: answer.context[name] for name in ("priced_at", "due_now_minor", "charged", "next_at")
    }


def test_cancel_and_undo(alices, alice, subscription):
    path = f"/dashboard/subscriptions/{subscription}"

    assert said(alices.post(f"{path}/cancel")) == [
        "It will not be renewed. You can use it until the end of what is paid."
    ]
    assert at_stripe(subscription)["cancel_at_period_end"] is True
    assert said(alices.post(f"{path}/cancel"))[-1] == "It is so already: nothing was changed."
    assert said(alices.post(f"{path}/keep"))[-1] == "It renews again."
    subscription.refresh_from_db()
    assert at_stripe(subscription)["cancel_at_period_end"] is False
    assert subscription.cancel_at is None
    for act in ("subscription.cancel_at_period_end", "subscription.uncancel"):
        assert AuditEntry.objects.get(act=act).actor == f"user:{alice.public_id}"


def test_an_upgrade_is_charged_what_was_shown_and_once(alices, subscription, team_monthly):
    page = alices.get(change_of(subscription, team_monthly))
    shown = shown_on(page)
    assert (shown["charged"], "Change and pay 35.00 USD" in page.content.decode()) == (
        "35.00 USD",
        True,
    )

    first = alices.post(change_of(subscription, team_monthly), shown)
    second = alices.post(change_of(subscription, team_monthly), shown)

    assert said(first)[0] == "You have Team now."
    assert second.status_code == 302
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 3500)
    assert len(invoices_of(subscription)) == 2


@pytest.mark.parametrize(
    "form", [{}, {"priced_at": "x", "due_now_minor": "1"}, {"priced_at": "9" * 30}]
)
def test_a_change_that_was_not_shown_shows_the_price_anew(alices, subscription, team_monthly, form):
    where = change_of(subscription, team_monthly)

    answer = alices.post(where, form)

    assert (answer["Location"], len(invoices_of(subscription))) == (where, 1)


def test_another_price_than_was_shown_is_shown_anew(alices, subscription, team_monthly):
    where = change_of(subscription, team_monthly)

    answer = alices.post(where, {**shown_on(alices.get(where)), "due_now_minor": 1})

    assert (answer["Location"], said(answer)) == (
        where,
        ["The price has changed meanwhile: look at it again."],
    )
    assert len(invoices_of(subscription)) == 1


def test_a_declined_card_leaves_the_old_plan(alices, alice, subscription, team_monthly):
    give_card(alice.stripe_customer, "pm_card_chargeCustomerFail")
    where = change_of(subscription, team_monthly)

    answer = alices.post(where, shown_on(alices.get(where)))

    assert said(answer) == ["The payment service refused, and nothing was changed."]
    subscription.refresh_from_db()
    assert (subscription.plan.code, subscription.status) == ("pro", "active")


def test_buying_leads_to_the_payment_page_and_twice_to_the_same(alices, pro_monthly):
    path = f"/dashboard/buy/{pro_monthly.stripe_price_id}"

    first, second = alices.post(path), alices.post(path)

    assert first["Location"] == second["Location"] == Checkout.objects.get().session_url


def test_a_plan_that_one_has_is_not_offered_again(alices, subscription, team_monthly):
    page = alices.get("/dashboard/plans").content.decode()

    assert "You have this one." in page
    assert f'href="{change_of(subscription, team_monthly)}"' in page
    assert 'action="/dashboard/buy/' not in page


def test_a_plan_that_is_not_public_is_neither_shown_nor_sold(alices, pro_monthly):
    Plan.objects.update(public=False)

    assert pro_monthly.stripe_price_id not in alices.get("/dashboard/plans").content.decode()
    assert alices.post(f"/dashboard/buy/{pro_monthly.stripe_price_id}").status_code == 404


def test_cards_are_listed_preferred_and_refused_while_they_pay(alices, alice, subscription):
    (default,) = alices.get("/dashboard/cards").context["cards"]
    other = give_card(alice.stripe_customer, "pm_card_mastercard", default=False)

    refused = alices.post(f"/dashboard/cards/{default.stripe_id}/remove")
    assert said(refused) == ["This card pays for a plan: make another one the default first."]
    assert said(alices.post(f"/dashboard/cards/{other}/use"))[-1] == "This card pays from now on."
    removed = alices.post(f"/dashboard/cards/{default.stripe_id}/remove")
    assert said(removed)[-1] == "The card is removed."
    assert [one.stripe_id for one in alices.get("/dashboard/cards").context["cards"]] == [other]


def test_somebody_elses_things_are_not_there(bob, alice, subscription, team_monthly, key):
    bobs = open_as(bob)
    (card,) = open_as(alice).get("/dashboard/cards").context["cards"]
    subscribe(bob, subscription.price, now)

    for path in (
        f"/dashboard/subscriptions/{subscription}/cancel",
        f"/dashboard/subscriptions/{subscription}/keep",
        change_of(subscription, team_monthly),
        f"/dashboard/cards/{card.stripe_id}/use",
        f"/dashboard/cards/{card.stripe_id}/remove",
        f"/dashboard/keys/{key.public_id}/rotate",
        f"/dashboard/keys/{key.public_id}/claim",
        "/dashboard/buy/price_none",
    ):
        assert bobs.post(path, {"priced_at": 1, "due_now_minor": 1}).status_code == 404, path
    assert bobs.get(change_of(subscription, team_monthly)).status_code == 404
    assert at_stripe(subscription)["cancel_at"] is None
    assert (ApiKey.objects.get(pk=key.pk).replaced_at, len(invoices_of(subscription))) == (None, 1)


@pytest.mark.parametrize("what", ["cancel", "leave", "portal", "buy", "rotate", "card"])
def test_every_act_needs_a_visit_and_the_forms_token(alice, what):
    path = {
        "cancel": "/dashboard/subscriptions/sub_1/cancel",
        "leave": "/dashboard/leave",
        "portal": "/dashboard/portal",
        "buy": "/dashboard/buy/price_1",
        "rotate": "/dashboard/keys/key_1/rotate",
        "card": "/dashboard/cards/pm_1/remove",
    }[what]
    assert Client().post(path).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.cookies["dashboard"] = open_as(alice).cookies["dashboard"].value
    assert strict.get("/dashboard").status_code == 200
    assert strict.post(path).status_code == 403
    assert strict.get(path).status_code == 405


def test_a_key_is_replaced_without_a_gap_and_its_successor_shown_once(alices, key):
    path = f"/dashboard/keys/{key.public_id}/rotate"

    assert said(alices.post(path)) == [
        "A new key waits for you below. The old one works for another week."
    ]
    assert said(alices.post(path))[-1].startswith("This key was replaced already")
    new = ApiKey.objects.get(replaces=key)
    key.refresh_from_db()
    assert key.is_usable(now())
    claim = f"/dashboard/keys/{new.public_id}/claim"
    page = alices.post(claim)
    assert page.context["plaintext"].endswith(new.last4)
    assert "no-store" in page["Cache-Control"]
    assert said(alices.post(claim))[-1].startswith("The key was shown before.")


def test_a_key_that_waits_is_offered(alices, alice):
    made = issue_key_to_collect(project=alice.project, owner=alice, scopes=(), actor="t", at=now())

    assert (
        f"/dashboard/keys/{made.key.public_id}/claim" in alices.get("/dashboard").content.decode()
    )


def test_the_portal_opens_and_comes_back(alices, subscription, settings):
    answer = alices.post("/dashboard/portal")

    assert answer["Location"].startswith(tuple(settings.STRIPE_PAGE_ORIGINS))


def test_while_stripe_is_away_pages_read_and_acts_explain(
    alices,
    subscription,
    team_monthly,
    stripe_world,  # noqa: F811
):
    stripe_world.faults.add("* /v1/*", "reset_before", times=None)
    lost = "The payment service does not answer. Nothing is lost: try again shortly."

    for path in ("", "/plans"):
        assert "Pro" in alices.get(f"/dashboard{path}").content.decode()
    assert lost in alices.get("/dashboard/cards").content.decode()
    assert said(alices.get(change_of(subscription, team_monthly))) == [lost]
    assert said(alices.post(f"/dashboard/subscriptions/{subscription}/cancel"))[-1] == lost
    assert Subscription.objects.get().cancel_at is None


def test_a_lost_answer_is_told_and_followed(alices, subscription, stripe_world):  # noqa: F811
    stripe_world.faults.add("POST /v1/subscriptions/*", "reset_after", times=1)

    answer = alices.post(f"/dashboard/subscriptions/{subscription}/cancel")

    assert said(answer) == ["It is on its way and happens once: look again in a minute."]
