"""The consumer page: finding, understanding, granting, revoking."""

from datetime import timedelta

import pytest
from django.db.models import F

from entitlements.models import Grant
from entitlements.selectors import entitlements_of
from keystore.models import AuditEntry
from keystore.services import issue_key
from tests.billing.admin.conftest import page_of, press_twice, say
from tests.conftest import NOON
from tests.staff import client_of

IN_MAY_2099 = "2099-05-01T12:00"
LIST = "/admin/keystore/consumer/"


def wish_of(plan, **more):
    return say(what=f"plan:{plan.pk}", until=IN_MAY_2099, wish="admin:1", **more)


def test_grant_opens_the_plan_and_is_on_record(support, alice, pro):
    answer = press_twice(support, page_of(alice, "give"), wish_of(pro))

    grant = Grant.objects.get(consumer=alice)
    entry = AuditEntry.objects.get(act="grant.give")
    assert answer.headers["HX-Redirect"] == page_of(alice)
    assert (grant.plan, grant.granted_by, grant.reason) == (pro, "staff:support", "a ticket")
    assert (entry.actor, entry.reason, entry.object_id) == (
        "staff:support",
        "a ticket",
        grant.public_id,
    )


def test_message_says_what_the_grant_did(support, alice, pro):
    press_twice(support, page_of(alice, "give"), wish_of(pro))

    said = support.get(page_of(alice)).content.decode()

    assert "Pro is open until 2099-05-01 12:00 UTC" in said


def test_double_click_gives_one_grant(support, alice, pro):
    press_twice(support, page_of(alice, "give"), wish_of(pro))
    press_twice(support, page_of(alice, "give"), wish_of(pro))

    assert Grant.objects.count() == 1


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"deed_reason": ""}, "This field is required."),
        ({"deed_reason": "   "}, "This field is required."),
        ({"until": ""}, "you may not give one without end"),
        ({"until": "2020-01-01T00:00"}, "The end must be in the future."),
        ({"what": ""}, "This field is required."),
    ],
)
def test_grant_needs_reason_end_and_thing(support, alice, pro, missing, said):
    answer = support.post(page_of(alice, "give"), {**wish_of(pro), **missing})

    assert said in answer.content.decode()
    assert Grant.objects.count() == AuditEntry.objects.count() == 0


def test_operator_may_give_without_end(operator, alice, pro):
    press_twice(operator, page_of(alice, "give"), {**wish_of(pro), "until": ""})

    assert Grant.objects.get().valid_to is None


@pytest.mark.parametrize(
    ("value", "limit"), [({"how_much": "500"}, 500), ({"unlimited": "on"}, None)]
)
def test_limit_is_given_or_unlimited_said(support, alice, calls, value, limit):
    asked = say(what=f"feature:{calls.pk}", until=IN_MAY_2099, wish="admin:1", **value)

    press_twice(support, page_of(alice, "give"), asked)

    assert Grant.objects.get().limit == limit


def test_forgotten_limit_is_not_unlimited(support, alice, calls):
    asked = say(what=f"feature:{calls.pk}", until=IN_MAY_2099, wish="admin:1")

    answer = support.post(page_of(alice, "give"), asked)

    assert "Give a limit or tick unlimited" in answer.content.decode()
    assert Grant.objects.count() == 0


def test_plan_of_another_project_cannot_be_given(support, mallory, pro):
    support.post(page_of(mallory, "give"), wish_of(pro))

    assert Grant.objects.count() == 0


def test_grant_is_revoked_with_reason(support, alice, given):
    support.post(page_of(alice, "end_grant"), say(which_grant=given.public_id))

    given.refresh_from_db()
    assert given.revoked_at is not None
    assert AuditEntry.objects.get(act="grant.revoke").reason == "a ticket"


def test_feature_is_taken_away(support, alice, given):
    support.post(page_of(alice, "take_feature"), say(which_feature="pro", wish="admin:1"))

    denial = Grant.objects.get(effect="deny")
    assert denial.reason == "a ticket"
    assert not entitlements_of(consumer=alice, at=denial.valid_from)[0].active


def test_feature_that_was_taken_away_is_given_back_in_one_step(support, alice, given):
    support.post(page_of(alice, "take_feature"), say(which_feature="pro", wish="admin:1"))
    denial = Grant.objects.get(effect="deny")
    undo = f"/admin/entitlements/grant/{denial.pk}/undo/"
    page = support.get(page_of(alice)).content.decode()
    assert f'href="{undo}"' in page.partition("is closed:")[2]

    shown = support.get(undo)
    said = {"deed_reason": "by mistake", "instant": shown.context["instant"]}
    assert "pro was taken away at" in shown.content.decode()
    support.post(undo, said)
    again = support.post(undo, said, follow=True)

    assert "was changed before: nothing changed" in again.content.decode()
    denial.refresh_from_db()
    assert denial.revoked_at is not None
    assert entitlements_of(consumer=alice, at=denial.revoked_at)[0].active


def test_way_back_stands_beside_the_feature_for_ten_minutes(support, alice, given):
    support.post(page_of(alice, "take_feature"), say(which_feature="pro", wish="admin:1"))
    undo = f'href="/admin/entitlements/grant/{Grant.objects.get(effect="deny").pk}/undo/?from='
    reader = client_of("Read-only")

    assert support.get(page_of(alice)).text.count(undo) == 2  # by the feature and by the denial
    assert undo not in reader.get(page_of(alice)).text

    Grant.objects.filter(effect="deny").update(valid_from=F("valid_from") - timedelta(minutes=10))
    assert undo not in support.get(page_of(alice)).text


def test_key_is_revoked_with_reason(support, alice, alices_key):
    support.post(page_of(alice, "end_key"), say(which_key=alices_key.public_id))

    alices_key.refresh_from_db()
    assert alices_key.revoked_at is not None
    assert AuditEntry.objects.get(act="key.revoke").actor == "staff:support"


@pytest.mark.django_db(transaction=True)
def test_sync_reads_stripe_and_is_on_record(support, alice, stripe_world):
    from billing import gateway
    from billing.models import StripeCustomer

    found = gateway.write("/v1/customers", {"email": "new@example.com"}, idempotency_key="test")
    holder = StripeCustomer.objects.create(
        project=alice.project, consumer=alice, stripe_customer_id=found["id"]
    )

    support.post(page_of(alice, "sync"), say(reason=""))

    holder.refresh_from_db()
    assert holder.synced_at is not None
    assert AuditEntry.objects.get(act="customer.sync").actor == "staff:support"


def test_sync_without_stripe_customer_says_so(support, alice):
    answer = support.post(page_of(alice, "sync"), say(reason=""))

    assert "has no Stripe customer" in answer.content.decode()


@pytest.mark.parametrize("act", ["give", "end_grant", "take_feature", "end_key", "sync"])
def test_nothing_changes_on_get(support, alice, given, alices_key, act):
    before = AuditEntry.objects.count()

    answer = support.get(page_of(alice, act), say(wish="x", which_key=alices_key.public_id))

    assert answer.status_code == 200
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("address", ["abc", "999999"])
def test_unknown_consumer_is_404(support, address):
    assert support.post(f"/admin/keystore/consumer/{address}/give/", say()).status_code == 404


def test_page_tells_why(support, alice, given):
    page = support.get(page_of(alice)).content.decode()

    assert f"plan pro by staff {given.public_id}" in page
    assert "a present" in page
    assert f"{given.valid_to:%Y-%m-%d %H:%M}: ends, because the grant runs out" in page


def test_page_tells_why_not(support, alice, given):
    from entitlements.services import revoke_grant

    revoke_grant(grant=given, reason="mistake", actor="staff:sam", at=given.valid_from)

    page = support.get(page_of(alice)).content.decode()
    assert "no grant of it is in force" in page
    assert f"revoked, {given.valid_from:%Y-%m-%d %H:%M}" in page


@pytest.fixture
def sold(alice, pro):
    """alice's subscription, as Stripe named it."""
    from billing.models import StripeCustomer, Subscription

    StripeCustomer.objects.create(
        project=alice.project, consumer=alice, stripe_customer_id="cus_AbC"
    )
    return Subscription.objects.create(
        project=alice.project,
        consumer=alice,
        plan=pro,
        stripe_subscription_id="sub_AbC",
        status="active",
        currency="usd",
        mrr_minor=1499,
        started_at=NOON,
        synced_at=NOON,
    )


@pytest.mark.parametrize("term", ["cus_AbC", "sub_AbC", "alice", "alice@example.com"])
def test_consumer_is_found(support, sold, bob, term):
    page = support.get(LIST, {"q": term}, follow=True).content.decode()

    assert "a***@example.com" in page
    assert "b***@example.com" not in page


def test_consumer_is_found_by_our_id_and_by_key(support, alice, bob, alices_key):
    for term in (alice.public_id, alices_key.prefix, alices_key.public_id):
        page = support.get(LIST, {"q": term}, follow=True).content.decode()

        assert "a***@example.com" in page
        assert "b***@example.com" not in page


def test_leaked_key_leads_to_its_consumer_alone(support, journal, alice, bob):
    issued = [
        issue_key(project=journal, owner=owner, actor="system", at=NOON) for owner in (alice, bob)
    ]
    leaked = issued[0].plaintext

    for term in (leaked, leaked[:14]):
        page = support.get(LIST, {"q": term}, follow=True).content.decode()
        keys = support.get("/admin/keystore/apikey/", {"q": term}).content.decode()

        assert "a***@example.com" in page
        assert "b***@example.com" not in page
        assert (str(issued[0].key) in keys, str(issued[1].key) in keys) == (True, False)


def test_quick_search_keeps_the_case_of_stripe_ids(support, sold):
    found = support.get("/admin/search/", {"s": "cus_AbC", "extended": "1"}).content.decode()

    assert page_of(sold.consumer) in found


def test_money_is_shown_in_its_currency(support, sold):
    assert "14.99 USD" in support.get(page_of(sold.consumer)).content.decode()


def test_reader_sees_masked_addresses(reader, journal):
    consumer = journal.consumers.create(
        external_id="carol@example.com", email="carol@example.com", name="Carol Smith"
    )

    for address in (LIST, page_of(consumer)):
        page = reader.get(address).content.decode()
        assert "c***@example.com" in page
        assert "carol@example.com" not in page
        assert "Smith" not in page


def test_reader_cannot_search_by_address(reader, journal):
    journal.consumers.create(external_id="u1", email="carol@example.com")

    assert "c***@example.com" not in reader.get(LIST, {"q": "carol@"}).content.decode()


def test_addresses_are_masked_for_everybody_until_revealed(support, alice):
    shown = support.get(LIST).content.decode() + support.get(page_of(alice)).content.decode()

    assert "a***@example.com" in shown
    assert "alice@example.com" not in shown
