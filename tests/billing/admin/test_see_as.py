"""Staff look at a customer's own page: read only, on record, for half an hour."""

from datetime import timedelta

import pytest

from billing.models import Invoice, Subscription
from config.clock import now
from keystore.models import AuditEntry
from tests.billing.admin.conftest import page_of, say
from tests.conftest import NOON
from tests.staff import client_of

pytestmark = pytest.mark.django_db
PAGE, END = "/admin/see-as/", "/admin/see-as/end/"


@pytest.fixture
def customer(alice, pro, given, alices_key):
    """alice with all that her page shows."""
    common = {"project": alice.project, "consumer": alice, "currency": "usd", "synced_at": NOON}
    Subscription.objects.create(
        **common, stripe_subscription_id="sub_1", status="active", plan=pro, mrr_minor=1499,
        started_at=NOON, current_period_end=NOON + timedelta(days=31),
    )  # fmt: skip
    Invoice.objects.create(
        **common, stripe_invoice_id="in_1", number="LK-7", status="paid", total_minor=1499,
        paid_minor=1499, created_at=NOON, pdf_url="https://pay.stripe.com/in_1.pdf",
    )  # fmt: skip
    return alice


def look(client, consumer, reason="cannot find the invoice"):
    return client.post(page_of(consumer, "see_as"), say(reason))


def test_page_is_what_the_customer_has(support, customer, alices_key):
    answer = look(support, customer)
    page = support.get(PAGE).content.decode()

    assert answer.headers["HX-Redirect"] == PAGE
    for part in ("Pro", "14.99 USD per month", "Renews on 1 April 2026", "LK-7",
                 "https://pay.stripe.com/in_1.pdf", str(alices_key)):  # fmt: skip
        assert part in page
    assert "You see what <strong>alice</strong> sees, read-only, until" in page
    assert "no-store" in support.get(PAGE)["Cache-Control"]


def test_nobody_elses_things_are_on_it(support, customer, bob, mallory):
    for consumer, number in ((bob, "LK-8"), (mallory, "LK-9")):
        Invoice.objects.create(
            project=consumer.project, consumer=consumer, stripe_invoice_id=number, number=number,
            status="paid", currency="usd", total_minor=1, paid_minor=1, created_at=NOON,
            synced_at=NOON,
        )  # fmt: skip
    look(support, customer)

    page = support.get(PAGE, {"consumer": mallory.public_id}).content.decode()
    assert "LK-8" not in page
    assert "LK-9" not in page


def test_begin_and_end_are_on_record(support, customer):
    look(support, customer)

    answer = support.post(END)

    assert answer["Location"] == page_of(customer)
    begin, end = AuditEntry.objects.filter(act__startswith="see_as").order_by("pk")
    assert (begin.act, begin.reason) == ("see_as.begin", "cannot find the invoice")
    assert (end.act, end.actor) == ("see_as.end", "staff:support")
    assert begin.consumer_id == end.consumer_id == customer.public_id
    assert support.get(PAGE).status_code == 302


def test_look_ends_after_half_an_hour_on_record(support, customer):
    look(support, customer)
    session = support.session
    session["see_as"] = {**session["see_as"], "until": (now() - timedelta(seconds=1)).timestamp()}
    session.save()

    assert support.get(PAGE).status_code == 302
    assert AuditEntry.objects.get(act="see_as.end").reason == "its time ran out"


def test_second_look_ends_the_first(support, customer, bob):
    look(support, customer)
    look(support, bob)

    assert AuditEntry.objects.get(act="see_as.end").consumer_id == customer.public_id
    assert "bob" in support.get(PAGE).content.decode()


def test_page_takes_no_writes(support, customer):
    look(support, customer)
    before = AuditEntry.objects.count()

    for method in ("post", "put", "patch", "delete"):
        assert getattr(support, method)(PAGE).status_code == 405
    page = support.get(PAGE).content.decode()
    assert page.count("<form") == 1
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("role", ["Read-only", "none"])
def test_look_needs_the_permission(customer, role):
    client = client_of(role)
    before = AuditEntry.objects.count()

    statuses = {look(client, customer).status_code, client.get(PAGE).status_code}

    assert statuses == {403}
    assert AuditEntry.objects.count() == before


def test_look_ends_with_the_permission(support, customer):
    from django.contrib.auth.models import Group, User

    look(support, customer)
    User.objects.get().groups.set([Group.objects.get(name="Read-only")])

    assert support.get(PAGE).status_code == 403


def test_banner_masks_an_address(support, journal):
    carol = journal.consumers.create(external_id="carol@example.com")
    look(support, carol)

    assert "carol@" not in support.get(PAGE).content.decode()
