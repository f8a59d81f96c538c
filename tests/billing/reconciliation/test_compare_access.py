"""Paused, disputed, overdue and doubled sales are compared as a sync would grant them."""

from datetime import timedelta

import pytest

from billing.access import subscription_window
from billing.models import Dispute, Drift, Operation
from billing.shapes import PAID_UNTIL
from billing.sync import sync_customer
from entitlements.models import Answer, Grant
from keystore.models import ApiKey
from sandbox.engine.disputes import close_dispute, open_dispute
from tests.billing.reconciliation.conftest import at_stripe

pytestmark = pytest.mark.django_db(transaction=True)


class Books:
    """Changes at Stripe, and mistakes in our tables, by the name of the consumer."""

    def __init__(self, shop):
        self.shop, self.sandbox = shop, shop.clock.sandbox

    def pause(self, name):
        row = self.shop.subscription(name)
        paid_until = str(int(row.current_period_end.timestamp()))
        path = f"/v1/subscriptions/{row.stripe_subscription_id}"
        at_stripe(path, pause_collection={"behavior": "void"}, metadata={PAID_UNTIL: paid_until})

    def dispute(self, name):
        charge = self.sandbox.store.get("charge", self.shop.payment(name).stripe_charge_id)
        return open_dispute(self.sandbox, charge)

    def lose(self, name):
        close_dispute(self.sandbox, self.dispute(name), won=False)

    def miss_payment(self, name):
        row = self.shop.subscription(name)
        found = self.sandbox.store.get("subscription", row.stripe_subscription_id)
        with self.sandbox.changing(found):
            found["status"] = "past_due"

    def spoil_grant(self, name, **values):
        """The answer is made by whoever asks next, so that it is not wrong as well."""
        consumer = self.shop.holders[name].consumer
        Grant.objects.filter(consumer=consumer).update(**values)
        Answer.objects.filter(consumer=consumer).delete()

    def spoil_key(self, name, **values):
        ApiKey.objects.filter(consumer=self.shop.holders[name].consumer).update(**values)


# For each consumer: what happened at Stripe and was heard of, the mistake, what must be found.
EXTRA, WINDOW = "grant_missing_or_extra", "grant_window_differs"
KEY, DISPUTE = "key_state_differs", "dispute_missing_or_differs"
SALES = {
    "paused": (
        Books.pause,
        lambda books, who: books.spoil_grant(who, valid_to=None),
        {(WINDOW, "valid_to of pro")},
    ),
    "paused with a key": (
        Books.pause,
        lambda books, who: books.spoil_key(who, expires_at=None),
        {(KEY, "expires_at")},
    ),
    "paused unheard": (
        lambda books, who: None,
        Books.pause,
        {("subscription_status_differs", "paused"), ("subscription_period_differs", "paid_until")},
    ),
    "overdue": (
        Books.miss_payment,
        lambda books, who: books.spoil_grant(who, valid_to=None),
        {(WINDOW, "valid_to of pro")},
    ),
    "disputed": (
        Books.dispute,
        lambda books, who: books.spoil_grant(who, revoked_at=books.shop.clock()),
        {(EXTRA, "grant of pro")},
    ),
    "disputed unheard": (
        lambda books, who: None,
        Books.dispute,
        {(DISPUTE, "dispute"), ("payment_differs", "status")},
    ),
    "lost": (
        Books.lose,
        lambda books, who: books.spoil_grant(who, revoked_at=None),
        {(EXTRA, "grant of pro")},
    ),
    "lost with a key": (
        Books.lose,
        lambda books, who: books.spoil_key(who, disabled_at=None, disabled_because=""),
        {(KEY, "suspended")},
    ),
    "lost unheard": (
        Books.dispute,
        lambda books, who: close_dispute(
            books.sandbox,
            books.sandbox.store.get(
                "dispute",
                Dispute.objects.get(consumer=books.shop.holders[who].consumer).stripe_dispute_id,
            ),
            won=False,
        ),
        {(DISPUTE, "status")},
    ),
}


def test_mistakes_about_paused_and_disputed_sales_are_found_named_and_mended(shop, settle, look):
    books = Books(shop)
    shop.sell_to(*SALES)
    for name, (happens, _, _) in SALES.items():
        happens(books, name)
        shop.sync(name)
    settle()
    assert look().found == 0
    for name, (_, spoil, _) in SALES.items():
        spoil(books, name)
    settle()

    run = look(repair=["all"])

    rows = Drift.objects.all()
    assert set(rows.values_list("consumer__external_id", "kind", "field")) == {
        (name, *one) for name, (_, _, expected) in SALES.items() for one in expected
    }
    unheard = rows.filter(consumer__external_id__endswith="unheard")
    assert all(row.cause.startswith("Missed event: Stripe told of it") for row in unheard)
    assert (set(rows.values_list("state", flat=True)), run.repaired) == ({"repaired"}, len(rows)), [
        (row.object_id, row.note) for row in rows.filter(state="failed")
    ]
    assert look().found == 0


def test_a_bank_that_decides_weeks_later_is_heard(shop, settle, look):
    books = Books(shop)
    shop.sell_to("alice")
    found = books.dispute("alice")
    shop.sync("alice")
    shop.clock.advance(days=20)
    close_dispute(books.sandbox, found, won=False)
    settle()

    look(days_back=7)

    assert list(Drift.objects.values_list("kind", "field", "ours", "stripes")) == [
        (DISPUTE, "status", "needs_response", "lost")
    ]


def test_a_lost_purchase_is_closed_and_one_that_was_won_is_open(
    alice, bob, lifetime, bought_once, clock, settle, look, settings
):
    settings.RECONCILIATION_REQUESTS_PER_SECOND = 10_000.0
    for consumer, won in ((alice, False), (bob, True)):
        payment = bought_once(consumer, lifetime)
        charge = clock.sandbox.store.get("charge", payment.stripe_charge_id)
        close_dispute(clock.sandbox, open_dispute(clock.sandbox, charge), won=won)
        customer_id = consumer.stripe_customer.stripe_customer_id
        sync_customer(stripe_customer_id=customer_id, clock=clock, full=True)
    settle()
    assert look().found == 0

    Grant.objects.filter(consumer=alice).update(revoked_at=None)
    Grant.objects.filter(consumer=bob).update(revoked_at=clock())
    Answer.objects.all().delete()

    assert look(repair=["all"]).repaired == 2
    found = Drift.objects.order_by("consumer_id").values_list("field", "ours", "stripes")
    assert list(found) == [
        ("grant of lifetime", "granted", "none"),
        ("grant of lifetime", "none", "granted"),
    ]
    assert look().found == 0


def test_a_doubled_subscription_that_could_not_be_ended_opens_nothing(shop, settle, look):
    shop.change(shop.price.plan, allows_many=False)
    shop.sell_to("alice")
    shop.clock.advance(seconds=1)  # of two that began together the ids decide, and chance
    at_stripe(
        "/v1/subscriptions",
        customer=shop.holders["alice"].stripe_customer_id,
        items=[{"price": shop.price.stripe_price_id}],
        metadata={"latchkey_checkout": "co_second_tab"},
    )
    shop.sync("alice")
    assert Operation.objects.filter(state="wanted").update(state="failed") == 2
    settle()

    assert look().found == 0
    assert Grant.objects.filter(revoked_at=None).count() == 1


@pytest.mark.parametrize("state", ["paid", "lost", "doubled"])
def test_one_rule_says_what_a_subscription_opens(shop, state):
    shop.sell_to("alice")
    row = shop.subscription("alice")

    window = subscription_window(
        row,
        grace=timedelta(days=7),
        lost_at=row.current_period_start if state == "lost" else None,
        doubled=state == "doubled",
    )

    end = row.current_period_end + timedelta(days=7)
    assert window == ((row.started_at, end) if state == "paid" else None)
