"""Senders that die in the middle of a request, and such as do not say how long it will be."""

import socket

import pytest

from tests.faults.stack import APP_KEY

EVENT = b'{"id": "cut-off", "meter": "scraping_tasks", "user_id": "cut-off"}'
COUNTED = "select count(*) from metering_usageevent where event_id = 'cut-off'"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(EVENT)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
REFUSED = {0, 400, 411}  # 0: the server, too, hung up


def send(stack, *parts, dies):
    """POST these pieces of an event; the status of the answer, 0 for none."""
    host = f"127.0.0.1:{stack.port}"
    head = f"POST /api/v1/usage/events HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {APP_KEY}\r\n"
    head += "Connection: close\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as line:
        line.sendall(head.encode() + b"".join(parts))
        if dies:
            line.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: line.recv(65536), b""))
    return int(said.split()[1]) if said else 0


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture(scope="module")
def _buyer(_stack):
    """Somebody who may use what the event counts."""
    _stack.buy("cut-off", price="price_basic")
    _stack.wait_for("access", lambda: "basic" in _stack.features("cut-off"))


@pytest.mark.usefixtures("_buyer")
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED])
def test_half_a_request_changes_nothing(stack, show, framing):
    whole = [EVENT] if framing == LENGTH else [chunk(EVENT[:20]), chunk(EVENT[20:]), LAST]
    before = stack.one(COUNTED)

    assert send(stack, framing, dies=True) in REFUSED
    assert send(stack, framing, b"".join(whole)[:-9], dies=True) in REFUSED
    assert stack.one(COUNTED) == before
    assert send(stack, framing, *whole, dies=False) == 200
    assert stack.one(COUNTED) == 1
    show("half a request changes nothing", tried=2, hit=2, kept="refused")
