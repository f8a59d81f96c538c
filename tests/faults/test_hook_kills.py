"""kill -9 of the worker between a hook's POST and its settlement: told again, under its own id."""

import threading

import pytest

from tests.faults.http import post_json
from tests.faults.stack import APP_KEY
from tests.keystore.receivers import receiving

WAITING = "select count(*) from keystore_hookdelivery where state = 'pending'"
TRIES = """select count(*) from keystore_hookattempt a
    join keystore_hookdelivery d on d.id = a.delivery_id
    join keystore_outboxmessage m on m.id = d.message_id where m.public_id = %s"""


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


def test_worker_killed_while_a_hook_is_on_its_way(stack, receiver, show):
    held = threading.Event()

    def dawdle(heard):
        held.wait(30)
        return 204, {}, b""

    receiver.answer = dawdle
    wish = {"url": receiver.url, "kinds": ["entitlements.changed"]}
    made = post_json(f"{stack.web}/api/v1/hook-endpoints", wish, X_API_Key=APP_KEY)
    assert made.status == 201, made
    stack.buy("hook-kill")
    stack.wait_for("the first try", lambda: receiver.heard)

    stack.kill("worker")
    held.set()
    assert stack.one(f"{WAITING} and lease_until is not null") == 1
    stack.start_worker()
    # There is no time to wait for the lease: move the hands of the clock instead.
    stack.execute("update keystore_hookdelivery set lease_until = now() where state = 'pending'")
    stack.wait_for("every hook is delivered", lambda: stack.one(WAITING) == 0, 120)

    first = receiver.ids[0]
    assert receiver.ids.count(first) == 2
    assert stack.one(TRIES, first) == 1  # the one whose answer was heard
    show("a hook is told although the worker died", tried=1, hit=1, kept="told again under its id")
