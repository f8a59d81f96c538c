"""What a customer reads of themselves, and of nobody else."""

from datetime import timedelta

import pytest
from django.test import Client

from billing.models import Invoice, Subscription
from tests.billing.ownpages.conftest import open_as
from tests.conftest import NOON

pytestmark = pytest.mark.django_db
HOME, USAGE = "/dashboard", "/dashboard/usage"
PDF = "https://pay.stripe.com/in_1.pdf"


def subscription_of(consumer, plan, **facts):
    terms = {
        "status": "active", "plan": plan, "mrr_minor": 1499, "started_at": NOON,
        "current_period_start": NOON, "current_period_end": NOON + timedelta(days=31),
        "currency": "usd", "synced_at": NOON, **facts,
    }  # fmt: skip
    return Subscription.objects.create(
        project=consumer.project, consumer=consumer, stripe_subscription_id="sub_1", **terms
    )


def invoice_of(consumer, name="in_1", **facts):
    terms = {
        "number": "LK-7", "status": "paid", "currency": "usd", "total_minor": 149900,
        "paid_minor": 149900, "created_at": NOON, "synced_at": NOON, "pdf_url": PDF, **facts,
    }  # fmt: skip
    return Invoice.objects.create(
        project=consumer.project, consumer=consumer, stripe_invoice_id=name, **terms
    )


def text_of(answer):
    return answer.content.decode()


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({}, "Renews on 1 April 2026"),
        ({"cancel_at": NOON + timedelta(days=31)}, "Ends on 1 April 2026"),
        ({"status": "past_due"}, "Access ended on 8 March 2026: it is back as soon as you pay"),
        ({"status": "canceled", "ended_at": NOON}, "Ended on 1 March 2026"),
        (
            {"status": "trialing", "trial_end": NOON + timedelta(days=14)},
            "The trial ends on 15 March 2026; then it renews",
        ),
        ({"paused": True, "paid_until": NOON + timedelta(days=31)}, "paid until 1 April 2026"),
    ],
)
def test_the_page_says_what_happens_next(alices, alice, pro, facts, says):
    subscription_of(alice, pro, **facts)

    assert says in text_of(alices.get(HOME))


def test_a_failed_payment_leads_to_the_page_on_which_it_is_paid(alices, alice, pro):
    subscription_of(alice, pro, status="past_due")
    invoice_of(
        alice,
        status="open",
        stripe_subscription_id="sub_1",
        hosted_url="https://invoice.stripe.com/i",
    )

    assert 'class="button" href="/dashboard/invoices/in_1/pay"' in text_of(alices.get(HOME))
    assert alices.get("/dashboard/invoices/in_1/pay")["Location"] == "https://invoice.stripe.com/i"


def test_an_invoice_leads_to_its_pdf(alices, alice):
    invoice_of(alice)

    assert "1,499.00 USD" in text_of(alices.get(HOME))
    assert alices.get("/dashboard/invoices/in_1/pdf")["Location"] == PDF


@pytest.mark.parametrize("what", ["pdf", "pay"])
def test_somebody_elses_invoice_is_not_there(alices, bob, mallory, what):
    invoice_of(bob, "in_b", hosted_url="https://invoice.stripe.com/b")
    invoice_of(mallory, "in_m", hosted_url="https://invoice.stripe.com/m")

    for name in ("in_b", "in_m", "in_none"):
        assert alices.get(f"/dashboard/invoices/{name}/{what}").status_code == 404
    assert "LK-7" not in text_of(alices.get(HOME))


@pytest.mark.parametrize("facts", [{"status": "draft"}, {"pdf_url": ""}, {"pdf_url": "java:x"}])
def test_an_invoice_without_a_pdf_leads_nowhere(alices, alice, facts):
    invoice_of(alice, **facts)

    assert alices.get("/dashboard/invoices/in_1/pdf").status_code == 404


def test_every_page_asks_for_a_visit(db):
    for path in ("", "/usage", "/plans", "/cards", "/invoices/in_1/pdf"):
        answer = Client().get(HOME + path)
        assert answer.status_code == 403
        assert "Your visit has ended." in text_of(answer)


def test_bars_are_sent_anew_only_when_they_have_changed(alices, quota_of_calls):
    first = alices.get(USAGE, HTTP_HX_REQUEST="true")
    assert (first.status_code, first["Cache-Control"]) == (200, "private, no-cache")
    assert '<progress max="100" value="25"' in text_of(first)

    again = {"HTTP_HX_REQUEST": "true", "HTTP_IF_NONE_MATCH": first["ETag"]}
    assert (alices.get(USAGE, **again).status_code) == 304
    quota_of_calls(60)
    changed = alices.get(USAGE, **again)
    assert (changed.status_code, changed["ETag"] != first["ETag"]) == (200, True)


def test_bars_opened_as_an_address_lead_to_the_page(alices):
    assert alices.get(USAGE)["Location"] == HOME


def test_a_page_left_open_stops_asking_when_the_visit_is_over(db):
    answer = Client().get(USAGE, HTTP_HX_REQUEST="true")

    assert (answer.status_code, "Your visit has ended" in text_of(answer)) == (286, True)


def test_nothing_of_the_page_is_kept_and_its_forms_reach_stripe_alone(alices):
    answer = alices.get(HOME)

    assert "no-store" in answer["Cache-Control"]
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self'; style-src 'self';" in policy
    assert "form-action 'self' https://checkout.stripe.com https://billing.stripe.com" in policy


def test_two_people_in_two_browsers_see_their_own(alices, alice, bob, pro):
    subscription_of(alice, pro)

    assert "Renews on" not in text_of(open_as(bob).get(HOME))
