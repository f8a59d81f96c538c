"""Giving with a preview, renewing, revoking and taking that back, and what gifts are worth."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.grant_value import months_between, worths_of
from billing.models import Invoice, Price, Subscription
from config.clock import now
from entitlements.models import Grant
from entitlements.services import WantedGrant, give_grant, revoke_grant, set_source_grants
from keystore.models import AuditEntry
from tests.billing.admin.conftest import page_of, press_twice, say
from tests.staff import client_of

LATER = "2099-05-01T12:00"
LIST = "/admin/entitlements/grant/"
DAY = timedelta(days=1)


def grant_page(grant, act="change"):
    return f"{LIST}{grant.pk}/{act}/"


def wish_of(plan, **more):
    return say(what=f"plan:{plan.pk}", until=LATER, wish="admin:1", **more)


def give(consumer, *, at=None, end=30 * DAY, key="k", **more):
    at = at or now()
    values = {"valid_from": None, "valid_to": at + end, "reason": "r", "granted_by": "staff:sam"}
    values |= {"idempotency_key": key, "actor": "staff:sam", **more}
    return give_grant(consumer=consumer, at=at, **values)


@pytest.fixture
def subscribed(alice, pro):
    at = now()
    wanted = [WantedGrant(pro, at - DAY, at + 300 * DAY)]
    set_source_grants(
        consumer=alice,
        source="subscription",
        source_ref="sub_1",
        wanted=wanted,
        reason="",
        actor="stripe",
        at=at,
    )


def test_first_click_shows_what_follows_and_gives_nothing(support, alice, pro):
    page = support.post(page_of(alice, "give"), wish_of(pro))

    assert "pro: Opens." in page.content.decode()
    assert page.headers["HX-Retarget"] == "#dialog"
    assert Grant.objects.count() == 0


def test_gift_that_opens_nothing_new_says_who_gives_more(support, alice, pro, subscribed):
    wish = {**wish_of(pro), "until": f"{now() + DAY:%Y-%m-%dT%H:%M}"}

    page = support.post(page_of(alice, "give"), wish).content.decode()

    assert "Opens nothing new: plan pro by subscription sub_1 already gives as much or more" in page


def test_gift_that_goes_on_after_the_subscription_says_from_when(support, alice, pro, subscribed):
    ends = now() + 300 * DAY

    page = support.post(page_of(alice, "give"), wish_of(pro)).content.decode()

    assert f"pro: Opens from {ends:%Y-%m-%d %H:%M} UTC on." in page


def test_what_changed_after_the_preview_is_shown_again(support, alice, pro):
    wish = wish_of(pro)
    shown = support.post(page_of(alice, "give"), wish).content.decode()
    seen = shown.partition('name="seen" value="')[2][:64]
    give(alice, plan=pro, end=60_000 * DAY)

    again = support.post(page_of(alice, "give"), {**wish, "seen": seen}).content.decode()

    assert "Opens nothing new" in again
    assert Grant.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"starts": "2099-06-01T12:00"}, "The end must be later than the start."),
        ({"starts": "2020-06-01T12:00"}, "The start has passed"),
        ({"how_much": "5"}, "Only a feature of kind limit takes a limit."),
        ({"config_value": "{}"}, "Only a config feature takes one."),
        ({"config_value": "{"}, "Enter a valid JSON."),
        ({"until": "soon"}, "Enter a valid date/time."),
    ],
)
def test_wrong_wish_is_refused_before_the_preview(support, alice, pro, wrong, said):
    page = support.post(page_of(alice, "give"), {**wish_of(pro), **wrong}).content.decode()

    assert said in page
    assert "What will follow" not in page


def test_grant_that_starts_later_keeps_its_ticket(support, alice, pro):
    press_twice(
        support, page_of(alice, "give"), wish_of(pro, starts="2099-01-01T00:00", ticket="T-9")
    )

    grant = Grant.objects.get()
    assert (grant.valid_from, grant.ticket) == (datetime(2099, 1, 1, tzinfo=UTC), "T-9")


def test_grant_is_renewed_after_a_preview(support, given):
    answer = press_twice(support, grant_page(given, "renew"), say("goes on", until=LATER))

    given.refresh_from_db()
    assert answer.headers["HX-Redirect"] == grant_page(given)
    assert (given.valid_to, given.reason) == (datetime(2099, 5, 1, 12, tzinfo=UTC), "goes on")


def test_renewal_to_an_earlier_end_is_refused(support, given):
    early = f"{now() + DAY:%Y-%m-%dT%H:%M}"

    page = support.post(grant_page(given, "renew"), say(until=early)).content.decode()

    assert "A renewal ends later than before" in page


def test_revocation_offers_the_undo_that_restores(support, alice, given):
    support.post(grant_page(given, "revoke"), say())
    page = support.get(grant_page(given)).content.decode()
    assert f'href="{grant_page(given, "undo")}">Undo</a>' in page

    support.post(grant_page(given, "undo"), say("it was right"))

    given.refresh_from_db()
    assert given.revoked_at is None
    assert AuditEntry.objects.get(act="grant.restore").reason == "it was right"


def test_late_undo_says_why_not(support, given):
    revoke_grant(grant=given, reason="x", actor="staff:sam", at=now() - timedelta(minutes=11))

    page = support.post(grant_page(given, "undo"), say()).content.decode()

    assert "A revocation can be undone for 10 minutes" in page


def test_undo_page_changes_nothing_on_get_and_asks_for_a_reason(support, given):
    revoke_grant(grant=given, reason="x", actor="staff:sam", at=now())

    assert support.get(grant_page(given, "undo")).status_code == 200
    page = support.post(grant_page(given, "undo"), say(" ")).content.decode()

    assert "Say why" in page
    assert Grant.objects.get().revoked_at is not None


@pytest.mark.parametrize("role", ["Support", "Finance", "Operator", "Read-only", "none"])
def test_acts_on_a_grant_belong_to_their_roles(given, role):
    client = client_of(role)
    revoked = give(given.consumer, plan=given.plan, key="k2")
    revoke_grant(grant=revoked, reason="x", actor="staff:sam", at=now())

    statuses = {
        client.post(grant_page(grant, act), say("")).status_code
        for grant, act in ((given, "renew"), (given, "revoke"), (revoked, "undo"))
    }

    assert statuses == ({200} if role in ("Support", "Operator") else {403})


def test_buttons_of_a_grant_fit_its_state(support, given):
    page = support.get(grant_page(given)).content.decode()
    assert grant_page(given, "renew") in page
    assert grant_page(given, "undo") not in page

    revoke_grant(grant=given, reason="x", actor="staff:sam", at=now())

    page = support.get(grant_page(given)).content.decode()
    assert grant_page(given, "renew") not in page
    assert grant_page(given, "undo") in page


def test_list_of_those_that_end_this_week_leaves_out_subscriptions(
    support, alice, bob, pro, subscribed
):
    soon, later = give(alice, plan=pro, end=6 * DAY), give(bob, plan=pro, end=8 * DAY)
    ids = support.get(LIST, {"state": "expiring"}).content.decode()

    assert soon.public_id in ids
    assert later.public_id not in ids
    assert "sub_1" not in ids


def test_grants_are_found_by_ticket(support, alice, bob, pro):
    wanted, other = give(alice, plan=pro, ticket="ACME-77"), give(bob, plan=pro, ticket="B-1")

    page = support.get(LIST, {"q": "ACME-77"}).content.decode()

    assert wanted.public_id in page
    assert other.public_id not in page


def price_of(plan, amount, currency="usd", interval="month"):
    return Price.objects.create(
        project=plan.project,
        plan=plan,
        stripe_price_id=f"price_{currency}_{interval}",
        amount_minor=amount,
        currency=currency,
        interval=interval,
    )


def test_gift_is_worth_its_months(alice, pro):
    price_of(pro, 1499)
    grant = give(alice, plan=pro, at=datetime(2026, 1, 15, tzinfo=UTC), end=59 * DAY)

    assert worths_of(grants=[grant], at=now())[grant.pk].value == "29.98 USD"


def test_worth_is_told_in_each_currency_and_never_added(alice, pro):
    price_of(pro, 12000, "usd", "year")
    price_of(pro, 1500, "jpy")
    grant = give(alice, plan=pro, at=datetime(2026, 1, 1, tzinfo=UTC), end=31 * DAY)

    assert worths_of(grants=[grant], at=now())[grant.pk].value == "1,500 JPY or 10.00 USD"


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ((2026, 1, 31), (2026, 2, 28), Decimal(1)),
        ((2026, 1, 1), (2027, 1, 1), Decimal(12)),
        ((2026, 4, 1), (2026, 4, 16), Decimal("0.5")),
    ],
)
def test_months_are_those_of_the_calendar(start, end, months):
    assert months_between(datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC)) == months


def a_subscription(consumer, began, *, paid):
    ref = f"sub_{began:%d}"
    common = {"project": consumer.project, "consumer": consumer, "currency": "usd"}
    Subscription.objects.create(
        stripe_subscription_id=ref, status="active", started_at=began, synced_at=began, **common
    )
    Invoice.objects.create(
        stripe_invoice_id=f"in_{ref}",
        stripe_subscription_id=ref,
        status="paid",
        total_minor=1499,
        paid_minor=paid,
        created_at=began,
        synced_at=began,
        **common,
    )
    return ref


def test_became_paid_names_what_was_bought_after_the_gift(alice, bob, pro):
    at = datetime(2026, 3, 10, tzinfo=UTC)
    first, second = give(alice, plan=pro, at=at), give(bob, plan=pro, at=at)
    a_subscription(alice, at - DAY, paid=1499)
    bought = a_subscription(alice, at + DAY, paid=1499)
    a_subscription(bob, at + 2 * DAY, paid=0)

    worths = worths_of(grants=[first, second], at=now())

    assert worths[first.pk].became_paid == f"{bought}, 2026-03-11"
    assert worths[second.pk].became_paid == "no"


def test_list_asks_as_often_for_thirty_grants_as_for_three(
    support, journal, pro, django_assert_max_num_queries
):
    price_of(pro, 1499)
    for number in range(30):
        give(journal.consumers.create(external_id=f"c{number}"), plan=pro)

    with django_assert_max_num_queries(30):
        page = support.get(LIST).content.decode()

    assert page.count(" USD") == 30
