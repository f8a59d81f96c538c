"""What staff do with creators: each act with its permission, its reason and its trace."""

import pytest
from django.urls import reverse

from billing.market.balances import balances_of
from billing.models import Commission, Payout
from keystore.models import AuditEntry
from tests.staff import client_of

WHY = {"_form_submitted": "on", "deed_reason": "agreed by mail"}


def do(role, act, creator, **given):
    return client_of(role).post(
        reverse(f"admin:billing_creator_{act}", args=[creator.pk]), {**WHY, **given}
    )


@pytest.fixture
def payable(creator, earned):
    creator.stripe_account_id, creator.state, creator.payouts_enabled = "acct_1", "active", True
    creator.save(update_fields=["stripe_account_id", "state", "payouts_enabled"])
    earned(5_000)
    return creator


def test_support_holds_payouts_back_and_lets_them_go(creator):
    do("Support", "pause", creator)
    creator.refresh_from_db()
    assert creator.payouts_paused_at is not None

    entry = AuditEntry.objects.get(act="creator.pause_payouts")
    assert (entry.actor, entry.reason) == ("staff:support", "agreed by mail")


def test_an_act_without_a_reason_does_nothing(creator):
    do("Support", "pause", creator, deed_reason="")

    creator.refresh_from_db()
    assert creator.payouts_paused_at is None


@pytest.fixture
def limit(creator):
    from billing.models import RefundLimit

    return RefundLimit.objects.create(
        project=creator.project, currency="usd", approval_above_minor=2_000
    )


def test_finance_adjusts_a_balance(creator, limit):
    do("Finance", "adjust", creator, currency="usd", amount="-12.50", wish="w1")

    assert balances_of(creator) == {"usd": -1250}
    assert AuditEntry.objects.get(act="creator.adjust").after["amount_minor"] == -1250


def test_whoever_logged_in_long_ago_proves_themselves_again(creator, limit, settings):
    settings.STEP_UP_MINUTES = 0
    client = client_of("Finance")
    path = reverse("admin:billing_creator_adjust", args=[creator.pk])

    page = client.post(path, {**WHY, "currency": "usd", "amount": "1", "wish": "w1"})

    assert 'name="step_up_proof"' in page.content.decode()
    assert balances_of(creator) == {}


@pytest.mark.parametrize("amount", ["0", "1.234", "ten", "--5", ""])
def test_an_odd_adjustment_is_refused(creator, limit, amount):
    do("Finance", "adjust", creator, currency="usd", amount=amount, wish="w1")

    assert balances_of(creator) == {}


@pytest.mark.parametrize("act", ["pay_out", "adjust", "commission"])
def test_support_moves_no_money(payable, act):
    answer = do("Support", act, payable, currency="usd", amount="usd:5000", basis_points=1)

    assert answer.status_code == 403
    assert not Payout.objects.exists()
    assert not Commission.objects.exists()


def test_a_commission_begins_now_or_later(creator):
    do("Finance", "commission", creator, basis_points="1500", begins="2020-01-01")
    assert not Commission.objects.exists()

    do_again = client_of("superuser")
    path = reverse("admin:billing_creator_commission", args=[creator.pk])
    do_again.post(path, {**WHY, "basis_points": "1500", "begins": ""})

    assert Commission.objects.get().basis_points == 1500


def test_an_amount_that_is_not_on_offer_is_not_paid(payable):
    do("Finance", "pay_out", payable, amount="usd:4999")

    assert not Payout.objects.exists()


def test_the_page_of_a_creator_tells_the_balance(payable):
    page = client_of("Read-only").get(reverse("admin:billing_creator_change", args=[payable.pk]))

    assert "50.00 USD" in page.content.decode()
