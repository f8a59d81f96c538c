"""Which card pays is changed once, and a card that pays is not let go."""

import pytest

from billing import gateway
from billing.cards import CardInUse, CardNotFound, cards_of
from billing.models import Operation, OperationState
from billing.operations import settle_due
from billing.subscription_desk import detach_card, set_default_card
from billing.subscriptions import AlreadySo
from keystore.models import AuditEntry
from tests.billing.subscribers import at_stripe, give_card, subscribe

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def subscription(alice, pro_monthly, clock):
    """Alice pays with a visa."""
    return subscribe(alice, pro_monthly, clock)


@pytest.fixture
def holder(alice, subscription):
    return alice.stripe_customer


@pytest.fixture
def mastercard(holder):
    return give_card(holder, "pm_card_mastercard", default=False)


def do(act, holder, stripe_id, clock):
    return act(holder=holder, stripe_id=stripe_id, actor="staff:sam", reason="asked", clock=clock)


def default_of(holder):
    return next(card for card in cards_of(holder=holder) if card.is_default)


def test_the_list_says_which_card_pays_for_what(holder, mastercard, subscription):
    told = {card.text: (card.is_default, card.pays_for) for card in cards_of(holder=holder)}

    assert told == {
        "visa 4242, expires 12/2034": (True, (subscription.stripe_subscription_id,)),
        "mastercard 4444, expires 12/2034": (False, ()),
    }


@pytest.mark.parametrize("named", ["the old default", "another"])
def test_the_default_pays_also_where_a_subscription_named_its_own_card(
    holder, mastercard, subscription, clock, named
):
    path = f"/v1/subscriptions/{subscription.stripe_subscription_id}"
    own = default_of(holder).stripe_id
    if named == "another":
        own = give_card(holder, "pm_card_amex", default=False)
    gateway.write(path, {"default_payment_method": own}, idempotency_key="t:own")

    said = do(set_default_card, holder, mastercard, clock)

    assert said == "mastercard 4444, expires 12/2034 pays from now on."
    assert default_of(holder).stripe_id == mastercard
    assert at_stripe(subscription)["default_payment_method"] == mastercard
    assert AuditEntry.objects.get(act="card.set_default").reason == "asked"


def test_the_default_again_changes_nothing(holder, clock):
    with pytest.raises(AlreadySo):
        do(set_default_card, holder, default_of(holder).stripe_id, clock)


def test_a_card_that_pays_for_nothing_is_let_go(holder, mastercard, clock):
    do(detach_card, holder, mastercard, clock)

    assert [card.stripe_id for card in cards_of(holder=holder)] == [default_of(holder).stripe_id]


def test_a_card_that_pays_is_kept(holder, clock):
    with pytest.raises(CardInUse, match="make another card the default"):
        do(detach_card, holder, default_of(holder).stripe_id, clock)
    assert Operation.objects.filter(kind="detach_card").count() == 0


@pytest.mark.parametrize("act", [set_default_card, detach_card])
def test_somebody_else_s_card_does_not_exist(holder, bob, pro_monthly, clock, act):
    subscribe(bob, pro_monthly, clock)
    foreign = default_of(bob.stripe_customer).stripe_id

    with pytest.raises(CardNotFound):
        do(act, holder, foreign, clock)


@pytest.mark.parametrize("act", [set_default_card, detach_card])
def test_a_lost_answer_is_looked_after(holder, mastercard, clock, stripe_world, act):
    match = {
        set_default_card: "POST /v1/customers/*",
        detach_card: "POST /v1/payment_methods/*/detach",
    }
    stripe_world.faults.add(match[act], "reset_after", times=1)

    assert "not answered yet" in do(act, holder, mastercard, clock)
    clock.advance(minutes=10)
    settle_due(at=clock())

    assert Operation.objects.latest("pk").state == OperationState.DONE
    kept = {card.stripe_id: card.is_default for card in cards_of(holder=holder)}
    assert kept.get(mastercard) is (True if act is set_default_card else None)
