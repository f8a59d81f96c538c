"""One POST to whatever stands there: never inside, never for long, never reading much."""

import gzip
import socket
import time
from threading import Event

import pytest

from keystore import sender
from keystore.hook_urls import UnusableAddress, check_url
from keystore.sender import MOST_READ, post
from tests.keystore.receivers import raw, receiving

PRIVATE = [
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://0x7f.0.0.1/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://127.1/",
    "https://0.0.0.0/",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.8/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://[64:ff9b::7f00:1]/",
    "https://[fd00::1]/",
    "https://[fe80::1]/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://[ff02::1]/",
    "https://[::127.0.0.1]/",
    "https://localhost/",
    "https://localhost./",
    "https://db.internal/",
    "file:///etc/passwd",
    "gopher://example.com/",
]
MALFORMED = [
    "http://example.com/hooks",
    "https://user:secret@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com/\r\nX-Evil: 1",
    "https://example.com/a b",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/#part",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://[::1/",
    "https:///hooks",
    "//example.com/",
    "https://ex\u00e4mple.com/",
    "https://example.com/\x00",
    "https://" + "a" * 500 + ".com/",
    "",
]


@pytest.fixture
def own_network(settings):
    settings.HOOKS_ALLOW_PRIVATE_ADDRESSES = True


def send(url, **more):
    return post(url=url, body=b"{}", headers={"webhook-id": "msg_1"}, **more)


@pytest.mark.parametrize("url", PRIVATE + MALFORMED)
def test_address_is_refused_when_stored_and_when_sent(url):
    with pytest.raises(UnusableAddress):
        check_url(url)

    assert send(url).status is None


@pytest.mark.parametrize(
    "url", ["https://example.com/hooks?a=1", "https://8.8.8.8:8443/", "https://[2600::1]/x"]
)
def test_public_https_address_is_taken(url):
    assert check_url(url) is None


def test_http_is_for_development(settings):
    settings.DEBUG = True

    assert check_url("http://example.com/hooks") is None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "::ffff:10.0.0.1",
        "fd00::1",
        "224.0.0.1",
        "64:ff9b::a00:1",
        "::7f00:1",
        "fec0::1",
        "0.0.0.0",
        "100.64.1.1",
    ],
)
def test_name_that_leads_inside_is_refused_at_the_send(monkeypatch, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    answer = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)

    reply = send("https://hooks.example.com/")

    assert (reply.status, reply.error) == (
        None,
        "its name leads to an address that is not public",
    )


def test_name_is_resolved_once_so_that_it_cannot_change_its_mind(monkeypatch):
    asked, called = [], []

    def resolve(host, port, *_, **__):
        asked.append(host)
        address = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(address, *_, **__):
        called.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)

    send("https://hooks.example.com/")

    assert (asked, called) == (["hooks.example.com"], ["8.8.8.8"])


def test_body_and_headers_arrive(own_network):
    with receiving() as receiver:
        reply = send(receiver.url)

    assert reply.arrived
    assert receiver.heard[0].body == b"{}"
    assert receiver.heard[0].headers["webhook-id"] == "msg_1"
    assert receiver.heard[0].headers["user-agent"] == "Latchkey-Hooks/1"


def test_redirect_is_not_followed(own_network):
    with receiving() as inside, receiving() as receiver:
        receiver.always(307, {"Location": inside.url})
        reply = send(receiver.url)

    assert (reply.arrived, reply.error) == (False, "answered 307: redirects are not followed")
    assert inside.heard == []


def test_proxy_and_logins_of_the_machine_are_left_alone(own_network, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    with receiving() as receiver:
        assert send(receiver.url).arrived

    assert "authorization" not in receiver.heard[0].headers


def test_receiver_that_says_nothing_costs_only_the_time(own_network):
    heard_enough = Event()
    with raw(lambda connected: heard_enough.wait(60)) as url:
        reply = send(url, seconds=0.3)
        heard_enough.set()

    assert (reply.status, reply.error) == (None, "no answer within 0.3 s")
    assert reply.milliseconds < 30_000


def drip(connected):
    while True:
        connected.sendall(b"H")
        time.sleep(0.05)


def drip_headers(connected):
    connected.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connected.sendall(b"X-Slow: 1\r\n")
        time.sleep(0.05)


def never_begin(connected):
    while True:
        connected.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


@pytest.mark.parametrize("talk", [drip, drip_headers, never_begin])
def test_dripping_answer_is_cut_off(own_network, talk):
    with raw(talk) as url:
        reply = send(url, seconds=0.5)  # each of them would go on for ever

    assert reply.status is None


def test_huge_answer_is_not_read(own_network):
    sent = []

    def talk(connected):
        connected.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            sent.append(connected.send(b"x" * 65536))

    with raw(talk) as url:
        reply = send(url)

    assert (reply.status, len(reply.answer)) == (500, MOST_READ)
    assert sum(sent) < 20_000_000  # what the kernel's buffers took


def test_packed_answer_stays_packed(own_network):
    bomb = gzip.compress(b"\x00" * 50_000_000)
    with receiving() as receiver:
        receiver.always(200, {"Content-Encoding": "gzip"}, bomb)
        reply = send(receiver.url)

    assert reply.arrived
    assert len(reply.answer) <= MOST_READ
    assert receiver.heard[0].headers["accept-encoding"] == "identity"


def test_status_counts_although_the_answer_never_ends(own_network):
    heard_enough = Event()

    def talk(connected):
        connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        heard_enough.wait(60)

    with raw(talk) as url:
        reply = send(url, seconds=2)
        heard_enough.set()

    assert reply.arrived
    assert reply.milliseconds < 30_000


@pytest.mark.parametrize(
    "noise", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 9999 X\r\n\r\n", b"\xff" * 70_000]
)
def test_noise_is_no_answer(own_network, noise):
    with raw(lambda connected: connected.sendall(noise)) as url:
        assert send(url, seconds=2.0).status is None


def test_port_that_nobody_has_is_said_plainly(own_network):
    reply = send("http://127.0.0.1:1/")

    assert (reply.status, reply.error[:14]) == (None, "no connection:")


def test_a_try_takes_15_seconds_at_most():
    assert sender.TOTAL_SECONDS == 15
