"""The page to pay: what it says to whom, and what its buttons do."""

from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.contrib.messages import get_messages
from django.test import Client

from billing import gateway
from billing.dunning.links import pay_url, token_of
from billing.models import DunningCourse, Invoice
from tests.billing.dunning.conftest import course_of, settle
from tests.billing.subscribers import give_card
from tests.conftest import NOON

ACTS = ("at-stripe", "saved-card", "look")


@pytest.fixture
def at(monkeypatch):
    """Sets the clock of the page."""

    def set_to(instant):
        monkeypatch.setattr("billing.ownpages.paying.now", lambda: instant)

    set_to(NOON)
    return set_to


@pytest.fixture
def payer(failed, clock, monkeypatch):
    """Presses a button of the page of alice's failed renewal."""
    monkeypatch.setattr("billing.ownpages.paying.now", clock)
    token = token_of(DunningCourse.objects.get())
    browser = Client()

    def press(act):
        answer = browser.post(f"/pay/{act}", {"token": token})
        return answer, [str(one) for one in get_messages(answer.wsgi_request)]

    press.page = lambda: browser.get("/pay", {"token": token}).content.decode()
    return press


def page_of(course, **query):
    return Client().get("/pay", {"token": token_of(course), **query})


def text_of(answer):
    return " ".join(answer.content.decode().split())


@pytest.mark.django_db
def test_it_says_what_is_owed_and_what_ends_when(course, at, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        page = page_of(course)

    shown = text_of(page)
    assert (page.status_code, page["Cache-Control"]) == (
        200,
        "max-age=0, no-cache, no-store, must-revalidate, private",
    )
    for said in ("14.99 USD to pay", "LK-1", "Pro", "8 March 2026, 12:00 UTC"):
        assert said in shown
    assert "alice" not in shown

    at(NOON + timedelta(days=7))
    assert "Your access to Pro has ended." in text_of(page_of(course))


@pytest.mark.django_db
def test_it_speaks_the_language_of_the_mail(course, at):
    page = Client().get(pay_url(course, "de").removeprefix(django_settings.PUBLIC_URL))
    assert "14,99 USD zu bezahlen" in text_of(page)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "facts", "says"),
    [
        ("paid", {"paid_minor": 1499}, "Invoice LK-1 is paid."),
        ("void", {}, "Nothing is to be paid for invoice LK-1."),
        ("uncollectible", {}, "Nothing is to be paid for invoice LK-1."),
    ],
)
def test_an_old_link_says_how_the_invoice_ended(course, at, status, facts, says):
    settle(course, status, **facts)
    at(NOON + timedelta(days=400))

    page = page_of(course)

    assert says in text_of(page)
    assert b"<form" not in page.content
    answer = Client().post("/pay/saved-card", {"token": token_of(course)})
    assert answer.status_code == 302


@pytest.mark.django_db
def test_a_link_to_an_older_invoice_leads_to_the_newer_one(course, alice, pro, at):
    newer = course_of(alice, pro, name="2")
    DunningCourse.objects.filter(pk=course.pk).update(
        state="closed", outcome="superseded", closed_at=NOON, subscription=newer.subscription_id
    )

    assert token_of(newer) in page_of(course).content.decode().replace("%3A", ":")
    DunningCourse.objects.filter(pk=newer.pk).update(state="closed", outcome="paid", closed_at=NOON)
    assert "14.99 USD to pay" in text_of(page_of(course))


@pytest.mark.django_db
def test_a_link_that_is_too_old_opens_no_payment(course, at):
    at(NOON + timedelta(days=60))
    assert page_of(course).status_code == 410
    assert (
        Client()
        .post("/pay/at-stripe", {"token": token_of(course)})["Location"]
        .startswith(pay_url(course))
    )
    at(NOON + timedelta(days=60, seconds=-1))
    assert page_of(course).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["", "x", "dun_1", "dun_1:abc", "\x00", "x" * 5000, "ü:ü"])
def test_a_guess_is_404_and_changes_nothing(course, at, token):
    client = Client()
    if "\x00" not in token:  # the server refuses those for everybody
        assert client.get("/pay", {"token": token}).status_code == 404
    assert {client.post(f"/pay/{act}", {"token": token}).status_code for act in ACTS} == {404}


@pytest.mark.django_db
def test_a_link_shows_its_own_invoice_alone(course, bob, pro, at):
    other = course_of(bob, pro, name="2", total_minor=777)
    signature = token_of(course).rpartition(":")[2]

    assert "7.77" not in text_of(page_of(course))
    forged = f"{other.public_id}:{signature}"
    assert Client().get("/pay", {"token": forged}).status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("act", ACTS)
def test_buttons_want_a_post_of_our_own_page(course, at, act):
    strict = Client(enforce_csrf_checks=True)

    assert strict.get(f"/pay/{act}").status_code == 405
    assert strict.post(f"/pay/{act}", {"token": token_of(course)}).status_code == 403


@pytest.mark.django_db
def test_whoever_was_erased_has_no_page(course, alice, at):
    alice.erased_at = NOON
    alice.save()
    assert page_of(course).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_first_button_leads_to_stripe_and_the_second_charges_the_saved_card(
    payer, alice, clock
):
    clock.sandbox.faults.add("*", "reset_before")  # while Stripe is away
    assert "14.99 USD to pay" in payer.page()
    for act in ACTS:
        assert payer(act)[1][-1] == (
            "The payment service does not answer. Nothing is lost: try again shortly."
        )
    clock.sandbox.faults.clear()

    url = payer("at-stripe")[0]["Location"]
    assert url == Invoice.objects.get(status="open").hosted_url
    assert payer("saved-card")[1][-1] == "The card was declined. Pay with another one."
    assert payer("look")[1][-1] == "As far as we know, it is not paid yet."

    give_card(alice.stripe_customer, "pm_card_visa")
    payer("saved-card")
    assert "Your access to Pro is there, and your keys work." in payer.page()
    assert DunningCourse.objects.get().outcome == "paid"


@pytest.mark.django_db(transaction=True)
def test_a_bank_that_asks_leads_to_stripe_and_what_is_paid_there_is_known_by_a_sync(payer, alice):
    invoice = Invoice.objects.get(status="open")
    give_card(alice.stripe_customer, "pm_card_authenticationRequired")
    assert payer("saved-card")[0]["Location"] == invoice.hosted_url

    gateway.write(
        f"/v1/invoices/{invoice.stripe_invoice_id}/pay",
        {"paid_out_of_band": True},
        idempotency_key="t:pay",
    )
    assert "14.99 USD to pay" in payer.page()
    payer("at-stripe")
    assert "is paid." in payer.page()


@pytest.mark.django_db
def test_many_tries_are_slowed_down(course, at, settings):
    client = Client()
    said = []
    for _ in range(12):
        answer = client.post("/pay/saved-card", {"token": token_of(course)})
        said = [str(one) for one in get_messages(answer.wsgi_request)]
    assert said[-1] == "That was often: wait a minute, then try again."
