"""Refunds in the admin: told before the click, a second person agrees, followed to the end."""

import pytest
from django.urls import reverse

from billing.models import Payment, RefundBudget, RefundLimit, RefundRequest
from billing.refund_steps import work_requests
from keystore.models import AuditEntry
from tests.billing.admin.conftest import say
from tests.billing.refund_cast import a_limit, back_at_stripe
from tests.staff import client_of


@pytest.fixture
def paid(alice, journal):
    """100.00 USD paid by alice, as a row: nothing here asks Stripe."""
    return a_payment(alice, "usd", 10_000)


def a_payment(consumer, currency, minor):
    from tests.conftest import NOON

    return Payment.objects.create(
        project=consumer.project,
        consumer=consumer,
        stripe_charge_id=f"ch_{currency}",
        status="succeeded",
        currency=currency,
        captured_minor=minor,
        created_at=NOON,
        synced_at=NOON,
    )


def page_of(payment):
    return reverse("admin:billing_payment_refund", args=[payment.pk])


def fill(amount="30.00", **more):
    return {"act": "refund", "amount": amount, "reason": "too slow", "wish": "form-1", **more}


def decision(request, act):
    return reverse(f"admin:billing_refundrequest_{act}", args=[request.pk])


def text_of(answer):
    return answer.content.decode()


def test_the_form_comes_filled_with_what_is_left(paid):
    Payment.objects.update(refunded_minor=2_550)

    page = text_of(client_of("Support").get(page_of(paid)))

    assert 'value="74.50"' in page
    assert "Amount in USD" in page
    assert "Cancel it now" not in page  # it paid no subscription


@pytest.mark.parametrize(
    ("currency", "minor", "typed", "back"),
    [("jpy", 1_500, "1500", "1,500 JPY"), ("kwd", 12_340, "12.340", "12.340 KWD")],
)
def test_amounts_are_in_the_currency_s_own_decimals(alice, currency, minor, typed, back):
    page = text_of(client_of("Support").get(page_of(a_payment(alice, currency, minor))))

    assert f'value="{typed}"' in page
    assert f"{back} goes back to the card that paid, all that is left" in page


def test_the_preview_tells_what_will_follow_and_changes_nothing(paid, journal):
    a_limit(journal, 2_000)

    answer = client_of("Support").post(page_of(paid), {**fill(), "reason": "", "act": "preview"})

    page = text_of(answer)
    assert "30.00 USD goes back to the card that paid, 70.00 USD stays with us" in page
    assert "above 20.00 USD per payment a second person must agree" in page
    assert RefundRequest.objects.count() == 0


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("100.01", "Only 100.00 USD of this payment is left"),
        ("0", "A refund must be for more than nothing"),
        ("1.234", "Write an amount of USD like 12.30"),
        ("-5", "Write an amount of USD like 12.30"),
        ("1e3", "Write an amount of USD like 12.30"),
        ("NaN", "Write an amount of USD like 12.30"),
    ],
)
def test_a_bad_amount_is_said_on_the_page_and_nothing_happens(paid, amount, said):
    answer = client_of("Support").post(page_of(paid), fill(amount))

    assert said in text_of(answer)
    assert RefundRequest.objects.count() == 0


def test_a_reason_is_required(paid):
    answer = client_of("Support").post(page_of(paid), fill(reason=""))

    assert "This field is required" in text_of(answer)
    assert RefundRequest.objects.count() == 0


@pytest.mark.parametrize(
    ("role", "status"),
    [("Support", 200), ("Finance", 200), ("Operator", 200), ("Read-only", 403), ("none", 403)],
)
def test_the_page_is_for_who_may_refund(paid, role, status):
    client = client_of(role)

    assert client.get(page_of(paid)).status_code == status
    if status == 403:
        assert client.post(page_of(paid), fill()).status_code == 403
        assert RefundRequest.objects.count() == 0


def test_the_click_leads_to_the_steps_and_a_second_click_to_the_same(paid, journal):
    a_limit(journal)
    support = client_of("Support")

    first, second = (support.post(page_of(paid), fill()) for _ in range(2))

    made = RefundRequest.objects.get()
    where = reverse("admin:billing_refundrequest_change", args=[made.pk])
    assert (first.url, second.url) == (where, where)
    page = text_of(support.get(where))
    assert "30.00 USD is held" in page
    assert "data-goes-on" in page


def test_a_second_person_agrees_on_the_page(paid):
    client_of("Support").post(page_of(paid), fill())
    made, finance = RefundRequest.objects.get(), client_of("Finance")
    assert f'href="{reverse("admin:billing_refundrequest_changelist")}{made.pk}' in text_of(
        finance.get(reverse("admin:billing_refundrequest_changelist"))
    )

    answer = finance.post(decision(made, "approve"), say("fair"))

    assert "HX-Redirect" in answer
    made.refresh_from_db()
    assert (made.state, made.decided_by) == ("running", "staff:finance")
    assert AuditEntry.objects.get(act="refund.approve").reason == "fair"


def test_the_asker_is_told_that_another_person_must(paid):
    finance = client_of("Finance")
    finance.post(page_of(paid), fill())
    made = RefundRequest.objects.get()

    answer = finance.post(decision(made, "approve"), say("mine"))

    assert "a second person has to agree" in text_of(answer)
    made.refresh_from_db()
    assert (made.state, made.refund) == ("awaiting", None)


@pytest.mark.parametrize("role", ["Support", "Operator", "Read-only", "none"])
def test_who_may_not_agree_finds_no_way(paid, role):
    from tests.billing.refund_cast import a_person, ask

    made = ask(paid, a_person("ann", "Support"), 100)

    assert client_of(role).post(decision(made, "approve"), say("x")).status_code == 403
    made.refresh_from_db()
    assert made.state == "awaiting"


def test_an_invoice_leads_to_its_payment(paid, alice):
    from billing.models import Invoice
    from tests.conftest import NOON

    money = {"currency": "usd", "total_minor": 10_000, "paid_minor": 10_000}
    invoice = Invoice.objects.create(
        project=alice.project,
        consumer=alice,
        stripe_invoice_id="in_1",
        status="paid",
        created_at=NOON,
        synced_at=NOON,
        **money,
    )
    Payment.objects.update(stripe_invoice_id="in_1")

    answer = client_of("Support").get(reverse("admin:billing_invoice_refund", args=[invoice.pk]))

    assert answer.url == page_of(paid)


def test_finance_sets_limits_in_people_s_decimals_on_record(journal):
    finance = client_of("Finance")
    limit = {"project": journal.pk, "currency": "USD", "amount": "50.00"}

    finance.post("/admin/billing/refundlimit/add/", limit)
    made = RefundLimit.objects.get()
    finance.post(f"/admin/billing/refundlimit/{made.pk}/change/", {"amount": "75.50"})

    made.refresh_from_db()
    assert (made.currency, made.approval_above_minor) == ("usd", 7_550)
    acts = AuditEntry.objects.filter(object_kind="refundlimit").order_by("pk")
    assert [(one.act, one.after.get("amount")) for one in acts] == [
        ("refundlimit.add", "50.00"),
        ("refundlimit.change", "75.50"),
    ]


def test_support_sets_no_limits_and_budgets(journal):
    support = client_of("Support")
    for table in ("refundlimit", "refundbudget"):
        assert support.get(f"/admin/billing/{table}/add/").status_code == 403
        assert support.post(f"/admin/billing/{table}/add/", {}).status_code == 403
    assert RefundLimit.objects.count() == RefundBudget.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_the_steps_end_with_the_money_at_the_buyer(alice, journal, stripe_world, clock):
    from tests.billing.test_refunds import pay

    a_limit(journal)
    payment = pay(alice, clock, amount=10_000)
    support = client_of("Support")
    where = support.post(page_of(payment), fill()).url

    clock.at = RefundRequest.objects.get().created_at
    work_requests(clock=clock)

    page = text_of(support.get(where))
    assert "30.00 USD went back, re_" in page
    assert "stay as they are" in page
    assert "data-goes-on" not in page
    assert back_at_stripe(payment) == [(3_000, "succeeded")]


@pytest.mark.parametrize("amount", ["99999999999999999999", "92233720368547758.08"])
def test_a_limit_that_no_column_holds_is_refused(journal, amount):
    finance = client_of("Finance")
    limit = {"project": journal.pk, "currency": "usd", "amount": amount}

    page = finance.post("/admin/billing/refundlimit/add/", limit)

    assert page.status_code == 200
    assert "Write an amount" in page.content.decode()
    assert not RefundLimit.objects.exists()
