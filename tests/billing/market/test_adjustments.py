"""Balances changed by hand: small ones by one person, large ones by two, each once."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse

from billing.market.adjustments import (
    AdjustmentNotAllowed,
    AdjustmentNotOpen,
    OwnAdjustment,
    approve_adjustment,
    expire_adjustments,
    reject_adjustment,
    request_adjustment,
)
from billing.market.balances import balances_of
from billing.models import Adjustment, RefundLimit
from billing.money import NotAnAmount
from config.clock import now
from config.errors import IdempotencyConflict, InvalidInput
from keystore.models import AuditEntry
from tests.conftest import NOON
from tests.staff import client_of


@pytest.fixture
def limit(journal):
    """Above 20.00 USD two people."""
    return RefundLimit.objects.create(project=journal, currency="usd", approval_above_minor=2_000)


@pytest.fixture
def person(db):
    def make(name, role="Finance"):
        made = User.objects.create_user(name, is_staff=True)
        made.groups.add(Group.objects.get(name=role))
        return made

    return make


@pytest.fixture
def sam(person):
    return person("sam")


def ask(creator, sam, amount=2_001, *, wish="w1", currency="usd", at=NOON):
    return request_adjustment(
        creator=creator,
        amount_minor=amount,
        currency=currency,
        wish=wish,
        reason="agreed by mail",
        person=sam,
        at=at,
    )


def agree(row, who, at=NOON):
    return approve_adjustment(adjustment=row, person=who, reason="checked", at=at)


def test_a_small_one_is_on_the_ledger_at_once(creator, sam, limit):
    row = ask(creator, sam, -2_000)

    assert (row.state, row.earning.source) == ("done", row.public_id)
    assert balances_of(creator) == {"usd": -2_000}


def test_a_large_one_waits_for_somebody_else(creator, sam, person, limit):
    row = ask(creator, sam)
    assert (row.state, balances_of(creator)) == ("awaiting", {})
    with pytest.raises(OwnAdjustment):
        agree(row, sam)
    with pytest.raises(AdjustmentNotAllowed):
        agree(row, person("sue", "Support"))

    done = agree(row, person("kim"))

    assert (done.state, done.decided_by, balances_of(creator)) == (
        *("done", "staff:kim"),
        {"usd": 2_001},
    )
    acts = AuditEntry.objects.filter(act__startswith="adjustment.").order_by("pk")
    assert [entry.act for entry in acts] == ["adjustment.request", "adjustment.approve"]
    assert AuditEntry.objects.get(act="creator.adjust").actor == "staff:sam"


def test_small_parts_of_a_large_one_wait_too(creator, sam, limit):
    assert ask(creator, sam, 1_500).state == "done"

    assert ask(creator, sam, -600, wish="w2").state == "awaiting"
    assert ask(creator, sam, 400, wish="w3", at=NOON + timedelta(days=31)).state == "done"


def test_without_a_limit_every_one_waits(creator, sam):
    assert ask(creator, sam, 1).state == "awaiting"


def test_a_double_click_is_one_and_another_wish_is_none(creator, sam, limit):
    assert ask(creator, sam, 100) == ask(creator, sam, 100)
    with pytest.raises(IdempotencyConflict):
        ask(creator, sam, 200)

    assert balances_of(creator) == {"usd": 100}


@pytest.mark.parametrize(
    ("amount", "currency", "refused"), [(0, "usd", InvalidInput), (50, "ugx", NotAnAmount)]
)
def test_an_odd_one_is_refused(creator, sam, limit, amount, currency, refused):
    with pytest.raises(refused):
        ask(creator, sam, amount, currency=currency)

    assert not Adjustment.objects.exists()


def test_what_is_rejected_or_late_never_counts(creator, sam, person):
    kim = person("kim")
    first, second = ask(creator, sam), ask(creator, sam, wish="w2")
    reject_adjustment(adjustment=first, person=sam, reason="a typing error", at=NOON)
    late = NOON + timedelta(hours=72)
    with pytest.raises(AdjustmentNotOpen, match="expired"):
        agree(second, kim, at=late)

    assert expire_adjustments(at=late) == 1

    for row in (first, second):
        with pytest.raises(AdjustmentNotOpen):
            agree(row, kim, at=late)
    states = Adjustment.objects.order_by("pk").values_list("state", "decided_by")
    assert list(states) == [("rejected", ""), ("expired", "system")]
    assert balances_of(creator) == {}


def test_whose_right_was_taken_away_asks_in_vain(creator, sam, person):
    row = ask(creator, sam)
    sam.groups.clear()

    with pytest.raises(AdjustmentNotAllowed, match="reject this"):
        agree(row, person("kim"))


def test_the_second_person_does_it_in_the_admin(creator, sam, limit):
    row = ask(creator, sam, at=now())
    client = client_of("Finance")
    front = client.get(reverse("admin:index")).content.decode()
    assert "Adjustments that need a second person" in front

    path = reverse("admin:billing_adjustment_approve", args=[row.pk])
    client.post(path, {"_form_submitted": "on", "deed_reason": "checked"})

    assert balances_of(creator) == {"usd": 2_001}
    page = client.get(reverse("admin:billing_adjustment_change", args=[row.pk])).content.decode()
    assert "staff:sam" in page
    assert path not in page
