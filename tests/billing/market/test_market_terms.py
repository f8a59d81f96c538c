"""A project's terms: when creators are paid, from what on, and what the platform keeps."""

import pytest
from django.urls import reverse

from billing.market.terms import usual_commission
from billing.models import Commission, MarketPolicy, PayoutMinimum
from config.clock import now
from keystore.models import AuditEntry
from tests.staff import client_of

WHY = {"_form_submitted": "on", "deed_reason": "as agreed"}
MONTHLY = {"stripe_fee": "platform", "interval": "monthly", "day": "28"}


@pytest.fixture
def policy(journal):
    return MarketPolicy.objects.create(project=journal)


def do(role, act, policy=None, **given):
    args = [policy.pk] if policy else []
    path = reverse(f"admin:billing_marketpolicy_{act}", args=args)
    return client_of(role).post(path, {**WHY, **given})


def test_a_project_gets_terms_of_its_own(journal):
    do("Finance", "open_terms", project=journal.pk, **MONTHLY)

    row = MarketPolicy.objects.get()
    assert (row.project, row.interval, row.day) == (journal, "monthly", 28)
    entry = AuditEntry.objects.get(act="market.set_terms")
    assert (entry.actor, entry.reason, entry.before["day"]) == ("staff:finance", "as agreed", 1)


def test_terms_change_from_now_on(policy):
    do("Finance", "set_terms", policy, stripe_fee="creator", interval="weekly", day="7")

    policy.refresh_from_db()
    assert (policy.stripe_fee, policy.interval, policy.day) == ("creator", "weekly", 7)


@pytest.mark.parametrize(
    "odd", [{"interval": "weekly", "day": "8"}, {"day": "0"}, {"deed_reason": ""}]
)
def test_odd_terms_change_nothing(policy, odd):
    do("Finance", "set_terms", policy, **{**MONTHLY, **odd})

    policy.refresh_from_db()
    assert policy.day == 1
    assert not AuditEntry.objects.filter(act__startswith="market.").exists()


def test_a_minimum_is_set_and_taken_away(policy):
    do("Finance", "minimum", policy, currency="usd", amount="50.00")
    assert PayoutMinimum.objects.get().amount_minor == 5_000
    page = client_of("Read-only").get(reverse("admin:billing_marketpolicy_changelist"))
    assert "50.00 USD" in page.content.decode()

    path = reverse("admin:billing_marketpolicy_minimum", args=[policy.pk])
    client_of("superuser").post(path, {**WHY, "currency": "usd", "amount": "0"})

    assert not PayoutMinimum.objects.exists()
    acts = AuditEntry.objects.filter(act="market.set_minimum").order_by("pk")
    assert [entry.after["amount_minor"] for entry in acts] == [5_000, 0]


@pytest.mark.parametrize("amount", ["-1", "ten", "1.234"])
def test_an_odd_minimum_is_refused(policy, amount):
    do("Finance", "minimum", policy, currency="usd", amount=amount)

    assert not PayoutMinimum.objects.exists()


def test_the_usual_commission_is_the_projects(policy):
    do("Finance", "commission", policy, basis_points="1500", begins="")

    row = Commission.objects.get()
    assert (row.creator, row.api, row.basis_points) == (None, None, 1500)
    assert usual_commission(project=policy.project, at=now()) == row
    assert AuditEntry.objects.get(act="market.set_commission").reason == "as agreed"


@pytest.mark.parametrize("act", ["set_terms", "minimum", "commission"])
def test_support_looks_and_changes_nothing(policy, act):
    given = {**MONTHLY, "currency": "usd", "amount": "1", "basis_points": "1"}

    assert do("Support", act, policy, **given).status_code == 403
    assert not AuditEntry.objects.filter(act__startswith="market.").exists()
