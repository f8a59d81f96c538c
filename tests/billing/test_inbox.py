"""Events are worked off once, together per customer, and never lost."""

from datetime import timedelta

import pytest
from django.db import connection

from billing import gateway, inbox, receipt
from billing.customers import ensure_customer
from billing.models import InboxEvent, Subscription
from billing.sync import sync_customer
from config.errors import Unavailable
from entitlements.models import Grant
from keystore.models import AuditEntry
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def holder(alice, pro_monthly, stripe_world):
    """Alice's customer, who has just subscribed to pro; nothing of it was heard."""
    found = ensure_customer(consumer=alice, actor="system", at=NOON)
    customer = found.stripe_customer_id
    card = write("/v1/payment_methods/pm_card_visa/attach", customer=customer)
    write(
        "/v1/subscriptions",
        customer=customer,
        items=[{"price": pro_monthly.stripe_price_id}],
        default_payment_method=card["id"],
    )
    return found


def write(path, **params):
    return gateway.write(path, params, idempotency_key=f"test:{path}:{params}")


def hear(number, inner, type="customer.updated", **more):
    receipt.keep(
        event={
            "id": f"evt_{number}",
            "object": "event",
            "type": type,
            "livemode": False,
            "data": {"object": inner},
            **more,
        },
        at=NOON,
    )


def customer_event(number, holder):
    hear(number, {"id": holder.stripe_customer_id, "object": "customer"})


def states():
    return dict(InboxEvent.objects.values_list("event_id", "state"))


def test_all_events_of_a_customer_are_worked_off_by_one_sync(holder, stripe_world, clock):
    for number in range(5):
        customer_event(number, holder)
    before = stripe_world.executions(route="GET /v1/customers/{customer}")

    assert inbox.work_due(clock=clock) == 5

    reads = stripe_world.executions(route="GET /v1/customers/{customer}") - before
    assert (reads, set(states().values())) == (1, {"done"})
    assert Grant.objects.live(NOON).count() == 1


@pytest.mark.parametrize(
    ("type", "object"),
    [
        ("checkout.session.completed", "checkout.session"),
        ("customer.created", "customer"),
        ("customer.subscription.created", "subscription"),
        ("customer.subscription.updated", "subscription"),
        ("customer.subscription.deleted", "subscription"),
        ("customer.subscription.trial_will_end", "subscription"),
        ("invoice.created", "invoice"),
        ("invoice.finalized", "invoice"),
        ("invoice.paid", "invoice"),
        ("invoice.payment_failed", "invoice"),
        ("invoice.payment_succeeded", "invoice"),
        ("payment_intent.succeeded", "payment_intent"),
        ("payment_intent.payment_failed", "payment_intent"),
        ("charge.refunded", "charge"),
    ],
)
def test_every_type_that_the_seeds_name_brings_the_customer_up_to_date(holder, clock, type, object):
    """Even when the object that it names is gone: the customer's state is what counts."""
    inner = {"id": f"{object}_gone", "object": object, "customer": holder.stripe_customer_id}
    if object == "customer":
        inner["id"] = holder.stripe_customer_id
    hear(1, inner, type=type)

    inbox.work_due(clock=clock)

    assert states() == {"evt_1": "done"}
    assert Grant.objects.live(NOON).count() == 1


def test_the_payment_of_an_invoice_leads_to_its_customer(holder, clock):
    (invoice,) = gateway.read_all("/v1/invoices", customer=holder.stripe_customer_id)
    hear(1, {"id": "inpay_1", "object": "invoice_payment", "invoice": invoice["id"]})

    inbox.work_due(clock=clock)

    assert states() == {"evt_1": "done"}
    assert InboxEvent.objects.get().stripe_customer_id == holder.stripe_customer_id


def test_a_failing_stripe_leaves_the_events_waiting_and_changes_nothing(
    holder, stripe_world, clock
):
    customer_event(1, holder)
    stripe_world.faults.add("GET /v1/subscriptions", "rate_limit", times=1)

    inbox.work_due(clock=clock)

    waiting = InboxEvent.objects.get()
    assert (waiting.state, waiting.attempts) == ("pending", 1)
    assert "cannot be read" in waiting.last_error
    assert Subscription.objects.count() == 0
    clock.at += timedelta(minutes=1)
    inbox.work_due(clock=clock)
    assert states() == {"evt_1": "done"}


def test_an_outage_never_parks_an_event(holder, stripe_world, clock):
    customer_event(1, holder)
    stripe_world.faults.add("GET /v1/subscriptions", "rate_limit")

    for _ in range(inbox.MAX_ATTEMPTS + 3):
        clock.at += timedelta(minutes=15)
        inbox.work_due(clock=clock)

    assert states() == {"evt_1": "pending"}


def test_a_poison_event_is_parked_and_others_go_on(holder, clock, monkeypatch):
    poison = {"id": "prod_1", "object": "product"}

    def burn(event):
        raise ValueError("poison")

    monkeypatch.setattr("billing.catalog_events.follow", burn)
    hear("poison", poison, type="product.updated")
    customer_event(1, holder)
    for _ in range(inbox.MAX_ATTEMPTS):
        inbox.work_due(clock=clock)
        clock.at += timedelta(minutes=15)

    assert states() == {"evt_poison": "parked", "evt_1": "done"}
    assert "poison" in InboxEvent.objects.get(event_id="evt_poison").last_error


def test_a_replay_works_a_parked_event_off_again_and_is_audited(holder, clock):
    customer_event(1, holder)
    InboxEvent.objects.update(state="parked", attempts=12)

    inbox.replay(event=InboxEvent.objects.get(), actor="staff:sam", reason="mended", at=NOON)
    inbox.work_due(clock=clock)

    assert states() == {"evt_1": "done"}
    entry = AuditEntry.objects.get(act="inbox.replay")
    assert (entry.actor, entry.reason) == ("staff:sam", "mended")


def test_an_event_for_another_mode_cannot_be_replayed(clock, db):
    hear(1, {"id": "cus_1", "object": "customer"}, livemode=True)

    with pytest.raises(inbox.NotReplayable):
        inbox.replay(event=InboxEvent.objects.get(), actor="staff:sam", reason="x", at=NOON)
    assert states() == {"evt_1": "ignored"}


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ({"id": "cus_none", "object": "customer"}, "Stripe has no customer cus_none"),
        ({"id": "pi_1", "object": "payment_intent", "customer": "cus_none"}, "no customer"),
        ({"id": "re_1", "object": "refund", "charge": "ch_none"}, "Stripe has no /v1/charges"),
        ({"id": "txr_1", "object": "tax_rate"}, "nothing here follows"),
        ({"id": "prod_none", "object": "product"}, "Stripe has no /v1/products/prod_none"),
    ],
)
def test_what_stripe_does_not_know_is_ignored_with_the_reason(stripe_world, clock, inner, said):
    kind = "product.updated" if inner["object"] == "product" else f"{inner['object']}.updated"
    hear(1, inner, type=kind)

    inbox.work_due(clock=clock)

    kept = InboxEvent.objects.get()
    assert kept.state == "ignored"
    assert said in kept.note


def test_a_crashed_worker_s_event_is_taken_up_after_its_lease(holder, clock):
    customer_event(1, holder)
    InboxEvent.objects.update(lease_until=NOON + inbox.LEASE, attempts=1)

    assert inbox.work_due(clock=clock) == 0
    clock.at += inbox.LEASE
    assert inbox.work_due(clock=clock) == 1


def test_what_was_read_under_a_lost_lock_is_not_written(holder, stripe_world, clock):
    """PostgreSQL restarts between reading Stripe and writing: another worker may be ahead."""

    def lose_the_connection():
        connection.close()
        return NOON

    with pytest.raises(Unavailable, match="connection was lost"):
        sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=lose_the_connection)
    assert Subscription.objects.count() == 0


def test_a_short_list_from_stripe_ends_nobody_s_access(holder, stripe_world, clock):
    sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=clock)
    stripe_world.faults.add("GET /v1/subscriptions", "empty_list", times=1)

    sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=clock)

    assert Grant.objects.live(NOON).count() == 1
    assert Subscription.objects.get().status == "active"


def test_a_short_list_from_stripe_hides_no_cancellation(holder, stripe_world, clock):
    sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=clock)
    subscription = Subscription.objects.get().stripe_subscription_id
    gateway.write(
        f"/v1/subscriptions/{subscription}", {}, idempotency_key="test:end", method="delete"
    )
    stripe_world.faults.add("GET /v1/subscriptions", "empty_list", times=1)

    sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=clock)

    assert Grant.objects.live(NOON).count() == 0
