"""The matrix of callers once more, where the front door answers instead of Django."""

import json

import pytest

from metering.models import UsageEvent
from tests.hotway.conftest import call, environ_of
from tests.test_api_access import CALLERS, REFUSED, STRANGERS, leaked, table, written
from tests.test_api_access import world as world_in_a_transaction  # noqa: F401

LEARNED = 3  # so many answers of Django's teach the door how each is framed
HOT = (
    "GET api/v1/entitlements",
    "GET api/v1/keys/verify",
    "POST api/v1/keys/verify",
    "GET api/v1/whoami",
    "GET whoami",
    "POST api/v1/check",
    "POST api/v1/usage/events",
)


@pytest.fixture
def world(transactional_db, world_in_a_transaction):  # noqa: F811
    return world_in_a_transaction


@pytest.fixture
def door(hot, world):
    """That has answered the app of journal; `door.left` counts what it leaves to Django."""
    made = hot()
    django = made.django
    made.left = []

    def counted(environ, start_response):
        made.left.append(environ["PATH_INFO"])
        return django(environ, start_response)

    made.django = counted
    for row in HOT:
        for _ in range(LEARNED):
            ask(made, world, "A", row)
    return made


def ask(door, world, letter, row):
    """Status and body for what is alice's."""
    method, _, path = row.partition(" ")
    client = world.clients[letter]
    headers = {name: text for name, text in client.defaults.items() if name.startswith("HTTP_")}
    if client.cookies:
        headers["HTTP_COOKIE"] = client.cookies.output(header="", sep=";").strip()
    sent = {"user_id": "alice", **written()["bodies"].get(row, {})}
    if "verify" in path:
        sent = {"key": world.own.plaintext}
    body = json.dumps(sent).encode() if method == "POST" else b""
    query = "user_id=alice" if path.endswith("entitlements") else ""
    reply = call(door, environ_of(f"/{path}", method=method, query=query, body=body, **headers))
    return int(reply.status.split()[0]), reply.body.decode()


def test_what_is_hot_is_what_the_door_answers(door):
    answered = {
        f"{method} {path.lstrip('/')}"
        for path, one in door._doors.items()
        for method in one.methods
        if "webhooks" not in path  # signed by Stripe, not called with a key
    }

    assert answered == set(HOT)


@pytest.mark.parametrize("letter", CALLERS)
def test_the_door_lets_in_whom_the_table_names(door, world, letter):
    wrong = {}
    for row in HOT:
        before = UsageEvent.objects.count()
        for _ in range(LEARNED):
            status, body = ask(door, world, letter, row)
            is_in = status not in REFUSED
            if is_in != (letter in table()[row]):
                wrong[row] = f"{status}: {body}"
            elif letter in STRANGERS and (read := leaked(world, body, row, row, status)):
                wrong[row] = f"reads {read}"
        if letter not in table()[row] and UsageEvent.objects.count() != before:
            wrong[row] = "wrote events"

    assert wrong == {}, CALLERS[letter]


def test_for_the_app_it_is_the_door_that_answers(door, world):
    for row in HOT:
        door.left.clear()
        status, _ = ask(door, world, "A", row)
        assert (row, status, door.left) == (row, 200, [])
