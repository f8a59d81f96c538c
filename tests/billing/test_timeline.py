"""From what Stripe told us to what followed, on one line of time."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User

from billing import gateway, inbox, receipt
from billing.customers import ensure_customer
from billing.models import InboxEvent
from billing.operations import run_operation
from billing.subscriptions import want_cancel
from billing.sync import sync_customer
from billing.timeline import timeline_of
from config.clock import now
from keystore.correlation import bound
from keystore.models import AuditEntry
from keystore.notes import remove_note, write_note
from tests.conftest import NOON


@pytest.fixture
def sam(db):
    person = User.objects.create_user("sam", is_staff=True)
    person.groups.add(Group.objects.get(name="Support"))
    return person


@pytest.fixture
def customer(alice, stripe_world, pro_monthly, clock):
    """alice's customer, who pays for pro."""
    holder = ensure_customer(consumer=alice, actor="system", at=NOON)
    stripe("/v1/payment_methods/pm_card_visa/attach", customer=holder.stripe_customer_id)
    card = gateway.read_all(f"/v1/customers/{holder.stripe_customer_id}/payment_methods")[0]
    stripe(
        f"/v1/customers/{holder.stripe_customer_id}",
        invoice_settings={"default_payment_method": card["id"]},
    )
    items = [{"price": pro_monthly.stripe_price_id}]
    stripe("/v1/subscriptions", customer=holder.stripe_customer_id, items=items)
    sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=clock)
    return holder


def stripe(path, **params):
    return gateway.write(path, params, idempotency_key=f"test:{path}:{params}")


def hear(event_type, holder, found, clock, *, request_id="", key=None):
    """An event of Stripe arrives."""
    event = {
        "id": f"evt_{InboxEvent.objects.count()}",
        "object": "event",
        "type": event_type,
        "livemode": False,
        "created": int(NOON.timestamp()),
        "request": {"id": None, "idempotency_key": key},
        "data": {"object": {**found, "customer": holder.stripe_customer_id}},
    }
    with bound(request_id):
        receipt.keep(event=event, at=clock())


def read(consumer, user, **more):
    return timeline_of(consumer=consumer, user=user, at=now() + timedelta(minutes=1), **more)


def story_with(timeline, text):
    found = (story for story in timeline.stories if any(text in one.text for one in story.items))
    return next(found)


@pytest.mark.django_db(transaction=True)
def test_event_leads_to_what_followed_from_it(alice, sam, customer, clock):
    subscription = alice.subscriptions.get()
    found = gateway.write(
        f"/v1/subscriptions/{subscription.stripe_subscription_id}",
        {},
        idempotency_key="test:cancel",
        method="delete",
    )
    hear("customer.subscription.deleted", customer, found, clock, request_id="req_hook")
    inbox.work_due(clock=clock)

    story = story_with(read(alice, sam), "Stripe told us customer.subscription.deleted")
    assert story.cause.kind == "stripe"
    told = [(item.kind, item.text.partition(":")[0].split(" lk_")[0]) for item in story.effects]
    sub = subscription.stripe_subscription_id
    assert told == [
        ("money", f"Subscription {sub}"),
        ("access", "Access to Pro ended"),
        ("key", "Key"),
    ]
    assert "status active → canceled" in story.effects[0].text


@pytest.mark.django_db(transaction=True)
def test_act_of_staff_leads_to_the_call_and_to_stripes_answer(alice, sam, customer, clock):
    subscription = alice.subscriptions.get()
    with bound("req_staff"):
        operation = want_cancel(subscription=subscription, actor="staff:sam", at=clock())
        found = run_operation(operation=operation, at=clock())
    hear("customer.subscription.deleted", customer, found, clock, key=operation.idempotency_key)
    inbox.work_due(clock=clock)

    story = story_with(read(alice, sam), "Asked Stripe: cancel subscription")
    texts = [item.text for item in story.items]
    assert "Stripe told us customer.subscription.deleted" in texts
    assert "Access to Pro ended" in texts


@pytest.mark.django_db(transaction=True)
def test_events_that_one_sync_served_are_one_story(alice, sam, customer, clock):
    found = gateway.write(
        f"/v1/subscriptions/{alice.subscriptions.get().stripe_subscription_id}",
        {},
        idempotency_key="test:cancel",
        method="delete",
    )
    for number in range(3):
        hear("customer.subscription.updated", customer, found, clock, request_id=f"req_{number}")
    inbox.work_due(clock=clock)

    story = story_with(read(alice, sam), "One look at Stripe served 3 events")
    assert len([item for item in story.items if item.kind == "stripe"]) == 3
    assert AuditEntry.objects.filter(act="customer.sync").count() == 1


@pytest.mark.django_db(transaction=True)
def test_sync_that_changes_nothing_leaves_no_entry(alice, customer, clock):
    before = AuditEntry.objects.count()

    sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock)

    assert AuditEntry.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_purchase_has_an_entry_for_each_row_that_came(alice, customer):
    acts = set(AuditEntry.objects.filter(consumer_id=alice.public_id).values_list("act", flat=True))

    assert {"subscription.add", "invoice.add", "payment.add", "grant.give"} <= acts


def an_entry(consumer, number, **more):
    return AuditEntry.objects.create(
        project=consumer.project,
        actor="stripe",
        act="payment.add",
        object_kind="payment",
        object_id=f"pay_{number}",
        consumer_id=consumer.public_id,
        created_at=NOON + timedelta(minutes=number),
        request_id=f"req_{number}",
        **more,
    )


def test_pages_together_tell_everything_once(alice, sam):
    for number in range(120):
        an_entry(alice, number)
        an_entry(alice, number)
    told, at = [], now()
    for _ in range(8):
        page = timeline_of(consumer=alice, user=sam, at=at)
        told += [item.place for story in page.stories for item in story.items]
        assert len(page.stories) <= 50
        if page.older is None:
            break
        at = page.older

    assert len(told) == len(set(told)) == 240


def test_kinds_narrow_the_line(alice, sam):
    an_entry(alice, 1)
    write_note(consumer=alice, text="Calls on Mondays", actor="staff:sam", at=NOON)

    told = read(alice, sam, kind="note").stories
    assert [story.cause.text for story in told] == ["Calls on Mondays"]


def test_note_that_was_taken_down_is_not_told(alice, sam):
    note = write_note(consumer=alice, text="Calls on Mondays", actor="staff:sam", at=NOON)
    remove_note(note=note, actor="staff:sam", reason="wrong", at=NOON)

    assert read(alice, sam).stories == []


def test_nobody_elses_rows_are_told_though_they_share_an_id(alice, mallory, sam):
    an_entry(alice, 1)
    an_entry(mallory, 1)

    assert len(read(alice, sam).stories[0].items) == 1


def test_sources_are_those_that_the_user_may_see(alice, db):
    an_entry(alice, 1)
    write_note(consumer=alice, text="Calls on Mondays", actor="staff:sam", at=NOON)
    nobody = User.objects.create_user("nobody", is_staff=True)

    assert read(alice, nobody).stories == []
