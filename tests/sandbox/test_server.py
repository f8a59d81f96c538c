"""The same over HTTP, with the control API."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
import stripe

from sandbox import Sandbox
from sandbox.server import Server
from tests.sandbox.conftest import SECRET


@pytest.fixture
def server():
    running = Server(Sandbox(background=True), 0)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def over_http(address):
    http = stripe.RequestsClient()
    key = "sk_test_" + "a" * 24
    yield stripe.StripeClient(key, base_addresses={"api": address}, http_client=http).v1
    http.close()


def control(address, action, **given):
    request = urllib.request.Request(f"{address}/_sandbox/{action}", json.dumps(given).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_it_listens_on_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"


def test_objects_travel_over_http(over_http):
    customer = over_http.customers.create({"name": "Ann"})

    assert over_http.customers.retrieve(customer.id).name == "Ann"


def test_a_reset_breaks_the_connection(over_http, address):
    control(address, "faults", match="POST /v1/customers", kind="reset_after", times=1)

    with pytest.raises(stripe.APIConnectionError):
        over_http.customers.create()

    assert control(address, "counters")["routes"] == {"POST /v1/customers": 1}


def test_a_request_that_was_cut_off_is_not_executed(server, over_http, address):
    key, body = "key-of-the-dead", b"name=Ann"
    head = "POST /v1/customers HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer sk_test_a\r\n"
    head += f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    for part in (b"", body[:-1]):  # whoever sends dies between head and body, or within it
        with socket.create_connection(server.server_address) as line:
            line.sendall(head.encode() + part)
            line.shutdown(socket.SHUT_WR)
            assert line.recv(1000) == b""

    assert over_http.customers.create({"name": "Ann"}, {"idempotency_key": key}).name == "Ann"
    assert control(address, "counters")["routes"] == {"POST /v1/customers": 1}


def test_time_can_be_advanced_from_outside(address):
    before = control(address, "clock")["now"]

    assert control(address, "clock/advance", days=30)["now"] >= before + 30 * 86400


def test_an_unknown_action_lists_the_known_ones(address):
    with pytest.raises(urllib.error.HTTPError) as refused:
        control(address, "dance")

    with refused.value as answer:
        assert "clock/advance" in json.load(answer)["error"]


def test_an_unknown_page_is_404(address):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/pages/nothing", timeout=30)

    with refused.value as answer:
        assert answer.code == 404


def test_in_the_background_events_leave_by_themselves(server, over_http):
    arrived = threading.Event()
    server.sandbox.deliver_to(lambda body, signature: arrived.set() or 200, SECRET)

    over_http.customers.create()

    assert arrived.wait(30)


def test_held_events_leave_when_released(server, over_http, address):
    arrived = threading.Event()
    server.sandbox.deliver_to(lambda body, signature: arrived.set() or 200, SECRET)
    control(address, "webhooks/hold")

    over_http.customers.create()
    time.sleep(0.1)
    early = arrived.is_set()
    control(address, "webhooks/release")

    assert (early, arrived.wait(30)) == (False, True)


def test_reset_forgets_everything(over_http, address):
    over_http.customers.create()

    control(address, "reset")

    assert over_http.customers.list().data == []
