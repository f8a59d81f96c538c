"""The customer page: straight to it, what it tells, its notes and tags, and how fast it is."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import InboxEvent, Invoice, Payment, StripeCustomer, Subscription
from config.clock import now
from entitlements.services import WantedGrant, revoke_grant, set_source_grants
from keystore.models import ApiKey, AuditEntry, Consumer, ConsumerNote
from keystore.notes import set_tags, write_note
from keystore.services import disable_key
from tests.billing.admin.conftest import an_event, page_of, say
from tests.staff import client_of

LIST = "/admin/keystore/consumer/"
DAY = timedelta(days=1)


@pytest.fixture
def holder(alice):
    return StripeCustomer.objects.create(
        project=alice.project, consumer=alice, stripe_customer_id="cus_A", synced_at=now()
    )


@pytest.fixture
def paid(alice, holder):
    """A payment of alice with its invoice."""
    at = now()
    whose = {"project": alice.project, "consumer": alice, "currency": "usd", "synced_at": at}
    Invoice.objects.create(
        stripe_invoice_id="in_A",
        number="A1-0001",
        status="paid",
        total_minor=1499,
        paid_minor=1499,
        pdf_url="https://stripe.example/in_A.pdf",
        created_at=at,
        **whose,
    )
    return Payment.objects.create(
        stripe_charge_id="ch_A",
        stripe_payment_intent_id="pi_A",
        status="succeeded",
        captured_minor=1499,
        created_at=at,
        **whose,
    )


@pytest.fixture
def subscribed(alice, holder, pro):
    """alice's subscription and the grant that follows it."""
    at = now()
    row = Subscription.objects.create(
        project=alice.project,
        consumer=alice,
        plan=pro,
        stripe_subscription_id="sub_A",
        status="active",
        currency="usd",
        mrr_minor=1499,
        current_period_start=at - 3 * DAY,
        current_period_end=at + 27 * DAY,
        started_at=at - 3 * DAY,
        synced_at=at,
    )
    follow(row, at + 34 * DAY)
    return row


def follow(subscription, until):
    set_source_grants(
        consumer=subscription.consumer,
        source="subscription",
        source_ref=subscription.stripe_subscription_id,
        wanted=[WantedGrant(subscription.plan, subscription.started_at, until)],
        reason="",
        actor="stripe",
        at=now(),
    )


def text(client, consumer, **asked):
    return client.get(page_of(consumer), asked).content.decode()


# --- Straight to the page ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "term", ["cus_A", "ch_A", "pi_A", "in_A", "A1-0001", "evt_1", "Alice@example.com", " alice "]
)
def test_exact_search_goes_straight_to_the_page(support, alice, paid, term):
    an_event("evt_1", stripe_customer_id="cus_A")

    assert support.get(LIST, {"q": term}).headers["Location"] == page_of(alice)


def test_ids_of_refund_dispute_credit_note_grant_and_note_lead_to_the_page(
    support, alice, paid, given
):
    whose = {"project": alice.project, "currency": "usd", "amount_minor": 5}
    seen = {"created_at": now(), "synced_at": now(), "status": "open", "consumer": alice}
    paid.refunds.create(stripe_refund_id="re_A", status="succeeded", **whose)
    paid.disputes.create(stripe_dispute_id="dp_A", **whose, **seen)
    invoice = Invoice.objects.get()
    invoice.credit_notes.create(stripe_credit_note_id="cn_A", **whose, **seen)
    note = write_note(consumer=alice, text="Calls on Mondays", actor="staff:sam", at=now())

    for term in ("re_A", "dp_A", "cn_A", given.public_id, note.public_id, paid.public_id):
        assert support.get(LIST, {"q": term}).headers["Location"] == page_of(alice)


def test_part_of_an_address_lists_instead(support, alice, bob):
    page = support.get(LIST, {"q": "example.com"}).content.decode()

    assert page_of(alice) in page
    assert page_of(bob) in page


@pytest.mark.parametrize("term", ["carol@", "example.c", "Carol", "arol"])
def test_reader_learns_no_address_or_name_by_parts(reader, journal, term):
    journal.consumers.create(external_id="carol@example.com", name="Carol", email="x@example.com")

    assert "c***@example.com" not in reader.get(LIST, {"q": term}, follow=True).content.decode()


def test_reader_learns_no_address_from_the_lists_of_rows(reader, journal, pro, given):
    Consumer.objects.update(external_id="carol@example.com")

    for address in ("entitlements/grant", "keystore/apikey"):
        assert "c***@" not in reader.get(f"/admin/{address}/", {"q": "carol@"}).content.decode()


def test_unknown_id_finds_nobody(support, alice):
    for term in ("evt_no", "re_no", "pm_no", "zz\x00zz"):
        assert page_of(alice) not in support.get(LIST, {"q": term}).content.decode()


# --- What it tells -------------------------------------------------------------------------------


def test_header_tells_plan_money_and_keys(support, alice, subscribed, paid, alices_key):
    page = text(support, alice)

    assert f"Pro: active, renews {subscribed.current_period_end:%Y-%m-%d}" in page
    assert "14.99 USD in 1 payment" in page
    assert ">1 usable<" in page


def test_overdue_renewal_is_told_with_its_grace(support, alice, subscribed):
    due = subscribed.current_period_start
    Subscription.objects.update(status="past_due")
    follow(Subscription.objects.get(), due + 7 * DAY)

    page = text(support, alice)
    assert f"due {due:%Y-%m-%d} is not paid: access stays until" in page
    assert f"7 days of grace for the renewal of {due:%Y-%m-%d}, not paid yet" in page
    assert "ends, unless the overdue renewal is paid before" in page


def test_end_of_a_paid_period_is_not_told_as_an_end(support, alice, subscribed):
    page = text(support, alice)

    assert "would end only if the next renewal is neither paid nor heard of" in page
    assert f"renews {subscribed.current_period_end:%Y-%m-%d}, with 7 days of grace" in page


def test_what_is_wrong_stands_on_top(support, alice, paid):
    Payment.objects.update(disputed=True)
    an_event("evt_1", stripe_customer_id="cus_A", state="parked")

    page = text(support, alice)
    assert "is disputed." in page
    assert "1 of Stripe&#x27;s event is parked: replay them." in page


def test_unclaimed_key_is_told(support, alice):
    from keystore.services import provision_key

    provision_key(
        consumer=alice,
        slot="sub_A:default",
        environment="live",
        limit_per_minute=None,
        expires_at=None,
        metadata={},
        at=now(),
    )

    assert "waits to be collected until" in text(support, alice)


def test_sections_are_those_of_the_permissions(alice, paid, given):
    page = text(client_of("none"), alice)
    readers = text(client_of("Read-only"), alice)

    assert 'id="payments"' not in page
    assert 'id="payments"' in readers
    assert "Take away" not in readers


def test_row_opens_its_dialog_with_the_row_chosen(support, alice, given, alices_key):
    page = text(support, alice)
    address = f"{page_of(alice, 'end_key')}?row={alices_key.public_id}"

    assert address in page
    assert f'value="{alices_key.public_id}" selected' in support.get(address).content.decode()


def test_pdf_of_the_invoice_is_linked(support, alice, paid):
    assert 'href="https://stripe.example/in_A.pdf"' in text(support, alice)


# --- As of an instant gone by --------------------------------------------------------------------


def test_page_shows_what_they_had_then(support, alice, given):
    before, after = given.valid_from - DAY, given.valid_from + timedelta(seconds=1)
    revoke_grant(grant=given, reason="over", actor="staff:sam", at=now() + timedelta(hours=2))

    then = text(support, alice, at=f"{after + timedelta(minutes=1):%Y-%m-%dT%H:%M}")
    assert f"plan pro by staff {given.public_id}" in then
    assert "Take away" not in then
    assert "Nothing had been granted." in text(support, alice, at=f"{before:%Y-%m-%dT%H:%M}")


@pytest.mark.parametrize("at", ["soon", "2026-13-45T99:99", "0001-01-01T00:00+23:59", "9" * 500])
def test_date_that_is_none_is_said(support, alice, at):
    assert "is no date and time" in text(support, alice, at=at)


# --- Notes and tags ------------------------------------------------------------------------------


def test_note_is_kept_shown_and_taken_down(support, alice):
    support.post(page_of(alice, "add_note"), say("Prefers <b>mail</b>"))
    note = ConsumerNote.objects.get()

    assert "Prefers &lt;b&gt;mail&lt;/b&gt;" in text(support, alice)
    support.post(page_of(alice, "remove_note"), say("settled", which_note=note.public_id))

    assert "Prefers" not in text(support, alice)
    told = AuditEntry.objects.filter(act__startswith="note.").order_by("pk")
    assert [(entry.act, entry.reason) for entry in told] == [
        ("note.add", ""),
        ("note.remove", "settled"),
    ]


def test_note_of_another_consumer_is_not_taken_down(support, alice, bob):
    note = write_note(consumer=bob, text="Not yours", actor="staff:sam", at=now())

    support.post(page_of(alice, "remove_note"), say(which_note=note.public_id))

    note.refresh_from_db()
    assert note.removed_at is None


def test_tags_are_set_shown_and_filter_the_list(support, alice, bob):
    support.post(page_of(alice, "set_tags"), say(tags="VIP, beta , vip,"))

    alice.refresh_from_db()
    assert alice.tags == ["beta", "vip"]
    assert AuditEntry.objects.get(act="consumer.tag").after == {"tags": ["beta", "vip"]}
    page = support.get(LIST, {"tag": "vip"}).content.decode()
    assert page_of(alice) in page
    assert page_of(bob) not in page


def test_same_tags_again_change_nothing(alice):
    said = {"actor": "staff:sam", "reason": "", "at": now()}
    assert set_tags(consumer=alice, tags=["vip"], **said)
    assert not set_tags(consumer=alice, tags=["VIP"], **said)
    assert AuditEntry.objects.filter(act="consumer.tag").count() == 1


@pytest.mark.parametrize("tags", ["x" * 41, ",".join(f"t{n}" for n in range(21))])
def test_too_many_or_too_long_tags_are_refused(support, alice, tags):
    answer = support.post(page_of(alice, "set_tags"), say(tags=tags))

    alice.refresh_from_db()
    assert "At most 20 tags of at most 40 characters each." in answer.content.decode()
    assert alice.tags == []


# --- A consumer who is not known yet -------------------------------------------------------------


def test_support_adds_a_consumer(support, journal):
    asked = say("a call", project=journal.pk, own_id="dora", email="dora@example.com")

    answer = support.post(f"{LIST}register/", asked)

    dora = Consumer.objects.get(external_id="dora")
    entry = AuditEntry.objects.get(act="consumer.register")
    assert (dora.email, entry.actor, entry.reason) == (
        "dora@example.com",
        "staff:support",
        "a call",
    )
    assert answer.headers["HX-Redirect"] == page_of(dora)


def test_consumer_who_is_known_is_not_added(support, alice):
    answer = support.post(f"{LIST}register/", say(project=alice.project_id, own_id="alice"))

    assert "knows alice already" in answer.content.decode()
    assert AuditEntry.objects.count() == 0


# --- Who may -------------------------------------------------------------------------------------

WHO = {
    "add_note": {"Support", "Finance", "Operator"},
    "remove_note": {"Support", "Finance", "Operator"},
    "set_tags": {"Support", "Finance", "Operator"},
}


@pytest.mark.parametrize("act", WHO)
@pytest.mark.parametrize("role", ["Support", "Finance", "Operator", "Read-only", "none"])
def test_notes_and_tags_are_for_those_who_serve(alice, act, role):
    client = client_of(role)
    statuses = {client.get(page_of(alice, act)).status_code}
    statuses.add(client.post(page_of(alice, act), say("")).status_code)

    assert statuses == ({200} if role in WHO[act] else {403})
    assert AuditEntry.objects.count() == 0


@pytest.mark.parametrize("role", ["Support", "Finance", "Operator", "Read-only", "none"])
def test_consumers_are_added_by_support_and_operators(db, role):
    expected = 200 if role in ("Support", "Operator") else 403

    assert client_of(role).get(f"{LIST}register/").status_code == expected


# --- Speed ---------------------------------------------------------------------------------------


def furnish(consumer, numbers):
    """An event with its entry, a payment and a key for each number, the greater the older."""
    at = now()
    InboxEvent.objects.bulk_create(
        InboxEvent(
            event_id=f"evt_{n}",
            type="customer.subscription.updated",
            livemode=False,
            stripe_customer_id="cus_A",
            payload={"id": f"evt_{n}", "request": {"idempotency_key": None}},
            state="done",
            request_id=f"req_{n}",
            received_at=at - timedelta(minutes=n),
        )
        for n in numbers
    )
    AuditEntry.objects.bulk_create(
        AuditEntry(
            project=consumer.project,
            actor="stripe",
            act="subscription.change",
            object_kind="subscription",
            object_id="1",
            consumer_id=consumer.public_id,
            before={"status": "active"},
            after={"stripe_subscription_id": "sub_A", "status": "past_due"},
            request_id=f"req_{n}",
            created_at=at - timedelta(minutes=n) + timedelta(seconds=1),
        )
        for n in numbers
    )
    Payment.objects.bulk_create(
        Payment(
            project=consumer.project,
            consumer=consumer,
            stripe_charge_id=f"ch_{n}",
            status="succeeded",
            currency="usd",
            captured_minor=1499,
            created_at=at - n * DAY,
            synced_at=at,
        )
        for n in numbers
    )
    ApiKey.objects.bulk_create(
        ApiKey(project=consumer.project, consumer=consumer, digest=f"{n}", prefix="lk_live_x")
        for n in numbers
    )


def test_number_of_queries_does_not_grow_with_rows(support, alice, subscribed):
    furnish(alice, range(60))
    text(support, alice)  # whatever is read once
    with CaptureQueriesContext(connection) as few:
        text(support, alice)

    furnish(alice, range(60, 200))
    with CaptureQueriesContext(connection) as many:
        text(support, alice)
    assert len(many) == len(few) < 70


# --- What a newcomer should look at first --------------------------------------------------------


def test_unfinished_checkout_leads_to_the_sync(support, alice, pro_monthly):
    alice.checkouts.create(
        project=alice.project,
        price=pro_monthly,
        plan=pro_monthly.plan,
        mode="subscription",
        state="open",
    )

    page = text(support, alice)

    assert "is not paid, as far as we know. If they did pay: sync with Stripe." in page
    assert f'hx-get="{page_of(alice, "sync")}"' in page


def test_who_may_not_sync_is_led_to_the_checkouts(reader, alice, pro_monthly):
    alice.checkouts.create(
        project=alice.project,
        price=pro_monthly,
        plan=pro_monthly.plan,
        mode="subscription",
        state="open",
    )

    page = text(reader, alice)

    assert 'href="#checkouts">The checkout of' in page
    assert page_of(alice, "sync") not in page


def test_feature_that_staff_took_away_stands_on_top(support, alice, subscribed):
    wish = say(which_feature="pro", wish="take:1")
    support.post(page_of(alice, "take_feature"), wish)

    assert "Taken away by staff: pro. A grant opens it again." in text(support, alice)


def test_key_that_staff_switched_off_stands_on_top(support, alice, alices_key):
    disable_key(key=alices_key, actor="staff:sam", reason="a ticket", at=now())

    assert f"{alices_key} is switched off by staff." in text(support, alice)


def test_button_of_a_dialog_says_what_it_does(support, alice, holder):
    page = support.get(page_of(alice, "sync")).content.decode()

    assert page.count("Sync with Stripe now") == 2
    assert "Submit" not in page
