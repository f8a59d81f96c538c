"""Everything about one customer on one page: found at once, and told."""

from datetime import timedelta

import pytest

from billing.models import Invoice, Payment, Subscription
from config.clock import now
from entitlements.services import revoke_grant
from keystore.models import Consumer
from keystore.notes import write_note
from tests.billing.admin.conftest import an_event, page_of
from tests.billing.admin.customer_page_cast import DAY, LIST, follow, holder, paid, subscribed, text
from tests.staff import client_of

__all__ = ["holder", "paid", "subscribed"]  # fixtures


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


def test_end_of_a_paused_subscription_is_told_as_one(support, alice, subscribed):
    end = subscribed.current_period_end
    Subscription.objects.update(paused=True, paid_until=end)
    follow(Subscription.objects.get(), end)

    page = text(support, alice)
    assert "paused, and paid until then" in page
    assert "ends, unless the subscription is resumed before" in page


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
