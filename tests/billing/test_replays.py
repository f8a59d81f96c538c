"""A dry run says what would change and changes nothing; a run of replays survives a crash."""

from datetime import timedelta

import pytest
from django.db import connection

from billing import gateway, preview, replays
from billing.customers import ensure_customer
from billing.models import InboxEvent, Operation, ReplayRun, Subscription
from billing.sync import sync_customer
from entitlements.models import Answer, Grant
from keystore.models import ApiKey, AuditEntry
from tests.billing.admin.conftest import an_event
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def subscribed(alice, pro_monthly, stripe_world):
    """Alice has just subscribed to pro; nothing of it was heard."""
    customer = ensure_customer(consumer=alice, actor="system", at=NOON).stripe_customer_id
    card = write("/v1/payment_methods/pm_card_visa/attach", customer=customer)
    return write(
        "/v1/subscriptions",
        customer=customer,
        items=[{"price": pro_monthly.stripe_price_id}],
        default_payment_method=card["id"],
    )


def write(path, method="post", **params):
    key = f"test:{method}:{path}:{params}"
    return gateway.write(path, params, idempotency_key=key, method=method)


def event_of(subscription, event_id="evt_1", **more):
    inner = {"object": "subscription", "id": subscription["id"]}
    return an_event(
        event_id,
        **{
            "type": "customer.subscription.updated",
            "object_id": subscription["id"],
            "stripe_customer_id": subscription["customer"],
            "state": "parked",
            "received_at": NOON,
            "payload": {
                "id": event_id,
                "object": "event",
                "livemode": False,
                "data": {"object": inner},
            },
            **more,
        },
    )


def everything():
    """All that a sync writes, to the byte."""
    tables = (Subscription, Grant, Answer, ApiKey, AuditEntry, Operation, InboxEvent)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def test_a_dry_run_tells_what_a_first_sync_would_make_and_writes_nothing(subscribed, clock):
    event, before = event_of(subscribed), everything()

    said = preview.preview_replay(event=event, clock=clock)

    assert f"subscription {subscribed['id']} would be made (active)." in said
    assert "API key would be made." in said
    assert any("grant_" in line and "would be made (subscription)" in line for line in said)
    assert everything() == before


def test_a_dry_run_tells_the_end_of_access(subscribed, clock):
    sync_customer(stripe_customer_id=subscribed["customer"], clock=clock)
    grant = Grant.objects.get()
    write(f"/v1/subscriptions/{subscribed['id']}", method="delete")
    before = everything()

    said = preview.preview_replay(event=event_of(subscribed), clock=clock)

    InboxEvent.objects.all().delete()
    assert f"grant {grant.public_id} would be revoked." in said
    assert any("status active -> canceled" in line for line in said)
    assert any(line.startswith("API key key_") and "revoked" in line for line in said)
    assert everything() == before


def test_a_dry_run_of_what_is_known_says_that_nothing_would_change(subscribed, clock):
    sync_customer(stripe_customer_id=subscribed["customer"], clock=clock)

    assert preview.preview_replay(event=event_of(subscribed), clock=clock) == [preview.NOTHING]


def test_a_dry_run_says_that_the_object_is_gone(subscribed, clock):
    sync_customer(stripe_customer_id=subscribed["customer"], clock=clock)
    gone = event_of({**subscribed, "id": "sub_gone"})

    said = preview.preview_replay(event=gone, clock=clock)

    assert said == ["sub_gone is not at Stripe any more."]


def test_no_transaction_is_open_while_a_dry_run_asks_stripe(subscribed, clock, monkeypatch):
    seen, read = [], gateway.read

    def watched(*path, **params):
        seen.append(connection.in_atomic_block)
        return read(*path, **params)

    monkeypatch.setattr(gateway, "read", watched)
    preview.preview_replay(event=event_of(subscribed), clock=clock)

    assert seen
    assert not any(seen)


def test_a_dry_run_of_a_range_looks_once_at_each_customer(subscribed, clock):
    for number in range(3):
        event_of(subscribed, f"evt_{number}")
    run = start(dry_run=True)

    replays.work_replays(clock=clock)

    run.refresh_from_db()
    assert (run.state, run.handled, run.changing, len(run.report)) == ("done", 3, 1, 1)
    assert InboxEvent.objects.filter(state="parked").count() == 3


def test_a_dry_run_waits_for_stripe_to_come_back(subscribed, clock, stripe_world):
    event_of(subscribed)
    run = start(dry_run=True)
    stripe_world.faults.add("GET /v1/subscriptions", "rate_limit", times=1)

    replays.work_replays(clock=clock)
    run.refresh_from_db()
    assert (run.state, run.handled) == ("running", 0)
    clock.at += replays.LEASE
    replays.work_replays(clock=clock)
    run.refresh_from_db()
    assert (run.state, run.handled) == ("done", 1)


def test_a_run_that_was_killed_goes_on_and_replays_nothing_twice(clock, monkeypatch):
    monkeypatch.setattr(replays, "AT_ONCE", 2)
    for number in range(5):
        an_event(f"evt_{number}", state="parked", received_at=NOON)
    run = start()
    replays.work_replays(clock=clock, seconds=0)
    real, calls = replays._advance, []

    def die_at_the_second(*args, **more):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **more)

    monkeypatch.setattr(replays, "_advance", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        replays.work_replays(clock=clock)
    monkeypatch.setattr(replays, "_advance", real)
    clock.at += replays.LEASE
    replays.work_replays(clock=clock)

    run.refresh_from_db()
    assert (run.state, run.handled, run.total) == ("done", 5, 5)
    assert AuditEntry.objects.filter(act="inbox.replay").count() == 5


def test_an_event_that_must_not_be_replayed_is_named(clock):
    event = an_event("evt_live", state="parked", received_at=NOON)
    InboxEvent.objects.update(payload={**event.payload, "livemode": True})
    run = start()

    replays.work_replays(clock=clock)

    run.refresh_from_db()
    assert run.refused == 1
    assert "evt_live cannot be replayed" in run.report[0]["said"][0]


def start(*, dry_run=False):
    return replays.start_replay(
        choice=replays.Choice(state="parked"),
        dry_run=dry_run,
        reason="outage",
        actor="staff:sam",
        at=NOON + timedelta(seconds=1),
    )


def test_events_that_come_later_are_not_part_of_it(clock):
    an_event("evt_1", state="parked", received_at=NOON)
    run = start()
    an_event("evt_2", state="parked", received_at=NOON + timedelta(minutes=1))

    replays.work_replays(clock=clock)

    assert InboxEvent.objects.get(event_id="evt_2").state == "parked"
    assert ReplayRun.objects.get().pk == run.pk
