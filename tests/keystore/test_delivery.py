"""Messages on their way to real receivers: at least once, signed, and never one for another."""

import json
import threading
import time
from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from config.clock import now
from keystore import delivery, hooks, sender
from keystore.delivery import LEASE, deliver_due
from keystore.models import HookDelivery, HookEndpoint, OutboxMessage
from keystore.outbox import forget_old_messages, tell
from tests.conftest import NOON
from tests.keystore.receivers import receiving
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = sender.TOTAL_SECONDS - 3  # a receiver that dawdles is still heard


@pytest.fixture(autouse=True)
def own_network(settings):
    settings.HOOKS_ALLOW_PRIVATE_ADDRESSES = True


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


@pytest.fixture
def made(journal, receiver):
    return listen(journal, receiver)


def listen(project, receiver, **more):
    return hooks.make_endpoint(
        project=project, url=receiver.url, actor="staff:sam", at=now(), **more
    )


def say(project, number=1):
    for each in range(number):
        tell(project=project, kind="key.created", data={"id": f"key_{each}"}, at=now())


def test_message_arrives_signed(journal, receiver, made):
    say(journal)

    assert deliver_due(clock=now) == 1

    heard = receiver.heard[0]
    told = Webhook(made.secret).verify(heard.body, heard.headers)
    assert (told["type"], told["data"]) == ("key.created", {"id": "key_0"})
    assert receiver.ids == [OutboxMessage.objects.get().public_id]
    assert HookDelivery.objects.get().state == "delivered"


def test_both_secrets_sign_while_one_rolls_and_then_the_new_one_alone(journal, receiver, made):
    rolled = hooks.roll_secret(endpoint=made.endpoint, actor="staff:sam", at=now())
    say(journal)
    deliver_due(clock=now)
    HookEndpoint.objects.update(previous_until=now())
    say(journal)
    deliver_due(clock=now)

    during, after = receiver.heard
    for secret in (made.secret, rolled.secret):
        Webhook(secret).verify(during.body, during.headers)
    Webhook(rolled.secret).verify(after.body, after.headers)
    assert " " not in after.headers["webhook-signature"]


def test_retry_has_the_same_id_and_body_and_a_timestamp_of_its_own(journal, receiver, made):
    receiver.always(500)
    say(journal)
    deliver_due(clock=now)
    receiver.always(204)

    deliver_due(clock=lambda: now() + timedelta(seconds=10))

    first, second = receiver.heard
    assert receiver.ids[0] == receiver.ids[1]
    assert first.body == second.body
    assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]
    assert list(HookDelivery.objects.get().tries.values_list("status", flat=True)) == [500, 204]


def test_death_between_answer_and_settlement_sends_the_same_id_again(
    journal, receiver, made, monkeypatch
):
    say(journal)

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(delivery, "settle", die)
        with pytest.raises(KeyboardInterrupt):
            deliver_due(clock=now)
    assert deliver_due(clock=now) == 0  # somebody may still be at it

    assert deliver_due(clock=lambda: now() + LEASE) == 1

    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1
    assert HookDelivery.objects.get().state == "delivered"


def test_workers_at_once_send_each_message_once(journal, receiver, made, monkeypatch):
    # Without the lock that lets only one in: the leases alone must do.
    monkeypatch.setattr(delivery, "LOCK", None)
    monkeypatch.setattr(delivery, "_only_one", lambda: _Everybody())
    say(journal, 20)

    tries = at_once(lambda: deliver_due(clock=now), times=4)

    assert sum(tries) == 20
    assert len(set(receiver.ids)) == len(receiver.ids) == 20


class _Everybody:
    def __enter__(self):
        return True

    def __exit__(self, *_): ...


def test_second_worker_leaves_the_sending_to_the_first(journal, receiver, made):
    let_go, _ = receiver.waits(PATIENCE)
    say(journal)
    first = threading.Thread(target=lambda: at_once(lambda: deliver_due(clock=now), times=1))
    first.start()
    while not receiver.heard:
        time.sleep(0.01)
    say(journal)

    assert deliver_due(clock=now) == 0
    assert len(receiver.heard) == 1  # the first is still at it
    let_go.set()
    first.join()

    assert len(receiver.heard) == 2


def test_slow_endpoint_delays_nobody(journal, orbit, receiver):
    through, was_let_go = receiver.waits(PATIENCE)
    listen(orbit, receiver)
    say(orbit, 3)
    taken_by_the_slow = []

    def answer(heard):
        if len(quick.heard) == 40:
            taken_by_the_slow.append(len(receiver.heard))
            through.set()
        return 204, {}, b""

    with receiving() as quick:
        quick.answer = answer
        listen(journal, quick)
        say(journal, 40)
        deliver_due(clock=now)

    assert was_let_go[0] is True  # it had not answered yet when the others were through
    assert taken_by_the_slow[0] == 1  # and only one place was its


def test_failing_endpoint_is_left_alone_while_others_are_told(journal, orbit, receiver):
    receiver.always(500)
    listen(orbit, receiver)
    say(orbit, 10)
    with receiving() as healthy:
        listen(journal, healthy)
        say(journal, 10)
        deliver_due(clock=now)

    assert len(healthy.heard) == 10
    assert len(receiver.heard) == 2  # one to fail, one to be sure


def test_endpoint_that_moved_is_asked_at_its_new_address(journal, receiver, made):
    receiver.always(500)
    say(journal)
    deliver_due(clock=now)
    with receiving() as moved:
        hooks.change_endpoint(
            endpoint=made.endpoint, url=moved.url, kinds=[], description="", actor="staff:sam"
        )
        deliver_due(clock=lambda: now() + timedelta(seconds=10))

    assert len(moved.heard) == 1


def test_address_is_checked_again_at_the_send(journal, receiver, made, settings):
    settings.HOOKS_ALLOW_PRIVATE_ADDRESSES = False
    say(journal)

    deliver_due(clock=now)

    assert receiver.heard == []
    assert "must begin with https://" in HookDelivery.objects.get().last_error


def test_secret_that_cannot_be_read_is_a_failure_that_says_so(journal, receiver, made, settings):
    settings.SECRET_KEY = "another secret key, and the old one is not kept"
    say(journal)

    deliver_due(clock=now)

    assert "roll the secret" in HookDelivery.objects.get().last_error


def test_message_written_while_its_endpoint_went_off_is_dropped(journal, receiver, made):
    say(journal)
    HookEndpoint.objects.update(disabled_at=now())

    assert deliver_due(clock=now) == 0

    assert HookDelivery.objects.get().state == "dropped"


def test_nothing_is_sent_inside_a_transaction():
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        deliver_due(clock=now)


def test_no_transaction_is_open_while_a_receiver_is_asked(journal, receiver, made):
    from django.db import connection

    seen = []

    def answer(heard):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state LIKE 'idle in transaction%'"
            )
            seen.append(cursor.fetchone()[0])
        connection.close()
        return 204, {}, b""

    receiver.answer = answer
    say(journal)
    deliver_due(clock=now)

    assert seen == [0]


def test_old_messages_are_forgotten_but_none_on_its_way(journal, receiver, made, settings):
    settings.HOOKS_KEEP_DAYS = 90
    say(journal)
    deliver_due(clock=now)
    say(journal)
    OutboxMessage.objects.update(created_at=NOON)

    assert forget_old_messages(at=NOON + timedelta(days=90)) == 0
    assert forget_old_messages(at=NOON + timedelta(days=91)) == 1

    assert HookDelivery.objects.get().state == "pending"


@hypothesis_settings(max_examples=8)
@given(st.lists(st.sampled_from([204, 500, 429, 302, 400]), max_size=12), st.integers(1, 4))
def test_every_message_arrives_whatever_fails_first(journal, receiver, made, statuses, number):
    receiver.heard.clear()
    OutboxMessage.objects.all().delete()
    HookEndpoint.objects.update(failing_since=None, held_until=None)
    script = iter(statuses)
    receiver.answer = lambda heard: (next(script, 204), {}, b"")
    with transaction.atomic():
        say(journal, number)
    late = timedelta(0)

    while HookDelivery.objects.filter(state="pending").exists():
        deliver_due(clock=lambda late=late: now() + late)
        late += timedelta(hours=6)

    arrived = {json.loads(heard.body)["data"]["id"]: heard for heard in receiver.heard}
    assert set(arrived) == {f"key_{each}" for each in range(number)}
    assert set(receiver.ids) == set(OutboxMessage.objects.values_list("public_id", flat=True))


def test_lease_outlasts_a_try():
    assert LEASE.total_seconds() > 2 * sender.TOTAL_SECONDS
