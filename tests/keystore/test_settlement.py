"""What a reply means: the schedule of tries, Retry-After, 410, and endpoints that are gone."""

import random
from datetime import timedelta

import pytest
from django.core import mail

from keystore import hook_alarms, hooks, settlement
from keystore.hook_alarms import TRY_AGAIN, tell_staff
from keystore.models import AuditEntry, DeliveryState, HookDelivery
from keystore.outbox import tell
from keystore.sender import Reply
from tests.conftest import NOON

OK = Reply(204, 12)
BROKEN = Reply(500, 12, error="answered 500", answer="oops")
SILENT = Reply(None, 15000, error="no answer within 15 s")
LEASE = NOON + timedelta(hours=1)


@pytest.fixture
def endpoint(journal):
    url = "https://receiver.example/hooks"
    return hooks.make_endpoint(project=journal, url=url, actor="staff:sam", at=NOON).endpoint


def sent(endpoint):
    """A delivery that is being sent."""
    tell(project=endpoint.project, kind="key.created", data={"id": "key_1"}, at=NOON)
    delivery = HookDelivery.objects.latest("pk")
    HookDelivery.objects.filter(pk=delivery.pk).update(lease_until=LEASE)
    delivery.refresh_from_db()
    return delivery


def settle(delivery, reply, at=NOON, lease_until=LEASE):
    """Settled, and leased again for the next try."""
    settlement.settle(delivery, reply, lease_until=lease_until, at=at)
    delivery.refresh_from_db()
    HookDelivery.objects.filter(pk=delivery.pk).update(lease_until=LEASE)


def give_up(delivery, start=NOON):
    """Fail every try at the time when it is due; the instant of the last one."""
    at = start
    while delivery.state == DeliveryState.PENDING:
        settle(delivery, BROKEN, at)
        at = max(at, delivery.next_attempt_at)
    return at


def test_arrived_delivery_is_done(endpoint):
    delivery = sent(endpoint)

    settle(delivery, OK)

    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 204)
    assert delivery.finished_at == NOON
    assert delivery.tries.get().milliseconds == 12


@pytest.fixture
def on_time(monkeypatch):
    """Tries exactly when the schedule says: what is counted in hours may not hang on chance."""
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)


@pytest.fixture
def early(monkeypatch):
    """Each try as early as chance can make it: ten tries take 68 hours, less than three days."""
    monkeypatch.setattr(random, "uniform", lambda low, high: low)


def test_ten_tries_are_spread_over_75_hours(endpoint, on_time):
    delivery = sent(endpoint)

    end = give_up(delivery)

    assert (delivery.state, delivery.attempts) == ("failed", 10)
    assert end - NOON == timedelta(hours=75, minutes=35, seconds=5)
    assert list(delivery.tries.values_list("number", flat=True)) == list(range(1, 11))


def test_waits_differ_by_a_tenth():
    waits = {settlement.wait_after(3) for _ in range(50)}

    assert len(waits) > 10
    assert min(waits) >= timedelta(minutes=27)
    assert max(waits) <= timedelta(minutes=33)


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_everything_but_2xx_is_tried_again(endpoint, status):
    delivery = sent(endpoint)

    settle(delivery, Reply(status, 1, error=f"answered {status}"))

    assert (delivery.state, delivery.last_status) == ("pending", status)
    assert delivery.next_attempt_at > NOON


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("Sun, 01 Mar 2026 12:10:00 GMT", timedelta(minutes=10)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", timedelta(0)),
        ("99999999999999999999", timedelta(hours=24)),
        ("-5", timedelta(0)),
        ("soon", timedelta(0)),
        ("", timedelta(0)),
    ],
)
def test_wait_that_is_asked_for_is_understood(header, wait):
    assert settlement.asked_wait(header, NOON) == wait


def test_wait_that_is_asked_for_holds_the_endpoint(endpoint):
    delivery = sent(endpoint)

    settle(delivery, Reply(429, 1, error="answered 429", retry_after="120"))

    endpoint.refresh_from_db()
    assert delivery.next_attempt_at == NOON + timedelta(minutes=2)
    assert endpoint.held_until == NOON + timedelta(minutes=2)


def test_nobody_may_ask_us_to_wait_for_ever(endpoint):
    delivery = sent(endpoint)

    settle(delivery, Reply(503, 1, error="answered 503", retry_after="999999999"))

    endpoint.refresh_from_db()
    assert delivery.next_attempt_at == NOON + timedelta(hours=24)
    assert endpoint.held_until == NOON + timedelta(hours=1)


def test_endpoint_that_keeps_failing_is_left_alone_for_longer(endpoint):
    first, second = sent(endpoint), sent(endpoint)

    settle(first, SILENT)
    endpoint.refresh_from_db()
    assert (endpoint.failing_since, endpoint.held_until) == (NOON, None)

    settle(second, SILENT, NOON + timedelta(minutes=2))
    endpoint.refresh_from_db()
    assert endpoint.held_until == NOON + timedelta(minutes=2, seconds=30)

    settle(first, SILENT, NOON + timedelta(days=1))
    endpoint.refresh_from_db()
    assert endpoint.held_until == NOON + timedelta(days=1, seconds=60)


def test_one_delivery_that_gets_through_ends_the_hold(endpoint):
    first, second = sent(endpoint), sent(endpoint)
    settle(first, SILENT)
    settle(first, SILENT)

    settle(second, OK)

    endpoint.refresh_from_db()
    assert (endpoint.failing_since, endpoint.held_until) == (None, None)


def test_410_switches_the_endpoint_off(endpoint, settings, django_capture_on_commit_callbacks):
    settings.ALERT_EMAILS = ["ops@example.com"]
    gone, waiting = sent(endpoint), sent(endpoint)

    with django_capture_on_commit_callbacks(execute=True):
        settle(gone, Reply(410, 1, error="answered 410"))

    endpoint.refresh_from_db()
    waiting.refresh_from_db()
    assert endpoint.disabled_because == "It answered 410 Gone."
    assert (gone.state, waiting.state) == ("failed", "dropped")
    assert AuditEntry.objects.get(act="hook.disable").actor == "system"
    assert mail.outbox[0].to == ["ops@example.com"]
    assert endpoint.url in mail.outbox[0].body


def test_endpoint_where_nothing_arrives_for_days_is_switched_off(
    endpoint, settings, on_time, django_capture_on_commit_callbacks
):
    settings.ALERT_EMAILS = ["ops@example.com"]
    messages = [sent(endpoint) for _ in range(4)]

    with django_capture_on_commit_callbacks(execute=True):
        for message in messages[:3]:
            give_up(message)

    endpoint.refresh_from_db()
    messages[3].refresh_from_db()
    assert endpoint.disabled_at is not None
    assert messages[3].state == "dropped"
    assert len(mail.outbox) == 1


def test_endpoint_that_fails_for_less_than_three_days_stays_on(endpoint, early):
    messages = [sent(endpoint) for _ in range(4)]
    for message in messages[:3]:
        last = give_up(message)
    endpoint.refresh_from_db()
    assert endpoint.disabled_at is None

    give_up(messages[3], last)

    endpoint.refresh_from_db()
    assert endpoint.disabled_at is not None


def test_endpoint_where_others_arrive_stays_on(endpoint):
    at = NOON
    for _ in range(4):
        at = give_up(sent(endpoint), at) + timedelta(minutes=1)
        settle(sent(endpoint), OK, at)

    endpoint.refresh_from_db()
    assert endpoint.disabled_at is None


def test_mail_that_fails_is_sent_again(
    endpoint, settings, monkeypatch, django_capture_on_commit_callbacks
):
    settings.ALERT_EMAILS = ["ops@example.com"]

    def refuse(*_, **__):
        raise ConnectionRefusedError

    with monkeypatch.context() as broken:
        broken.setattr(hook_alarms, "send_mail", refuse)
        with django_capture_on_commit_callbacks(execute=True):
            settle(sent(endpoint), Reply(410, 1, error="answered 410"))
    endpoint.refresh_from_db()
    assert endpoint.disabled_at is not None

    again = NOON + TRY_AGAIN
    assert endpoint.tell_staff_at == again
    assert [tell_staff(at=at) for at in (NOON, again, again + TRY_AGAIN)] == [0, 1, 0]
    assert len(mail.outbox) == 1


def test_staff_are_told_although_the_process_died_after_the_commit(endpoint, settings):
    settings.ALERT_EMAILS = ["ops@example.com"]

    settle(sent(endpoint), Reply(410, 1, error="answered 410"))  # nothing runs after the commit
    assert mail.outbox == []

    assert [tell_staff(at=NOON), tell_staff(at=NOON + TRY_AGAIN)] == [1, 0]
    assert "It answered 410 Gone." in mail.outbox[0].body


def test_nobody_is_told_of_an_endpoint_that_is_on_again(endpoint, settings):
    settings.ALERT_EMAILS = ["ops@example.com"]
    settle(sent(endpoint), Reply(410, 1, error="answered 410"))

    hooks.enable_endpoint(endpoint=endpoint, actor="staff:sam")

    assert (tell_staff(at=NOON), mail.outbox) == (0, [])


def test_failure_counts_only_for_who_has_the_lease(endpoint):
    delivery = sent(endpoint)

    settle(delivery, BROKEN, lease_until=NOON)

    assert (delivery.state, delivery.attempts, delivery.tries.count()) == ("pending", 0, 0)


def test_arrival_counts_although_the_lease_ran_out(endpoint):
    delivery = sent(endpoint)

    settle(delivery, OK, lease_until=NOON)

    assert delivery.state == "delivered"


def test_arrival_counts_although_the_endpoint_was_switched_off_meanwhile(endpoint):
    delivery = sent(endpoint)
    hooks.disable_endpoint(endpoint=endpoint, actor="staff:sam", reason="moves", at=NOON)

    settle(delivery, OK)

    assert delivery.state == "delivered"


def test_removed_endpoint_leaves_nothing_to_settle(endpoint):
    delivery = sent(endpoint)
    hooks.remove_endpoint(endpoint=endpoint, actor="staff:sam")

    settlement.settle(delivery, OK, lease_until=LEASE, at=NOON)

    assert HookDelivery.objects.count() == 0
