import pytest

from keystore.addresses import is_within, remote_address


def seen(settings, proxies, forwarded, peer="127.0.0.1"):
    settings.TRUSTED_PROXY_COUNT = proxies
    return remote_address({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded})


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "6.6.6.6", "127.0.0.1"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        (2, "10.0.0.1", "10.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "garbage", ""),
        (1, "203.0.113.9, ", ""),
        (1, "[", ""),
        (1, "203.0.113.999", ""),
    ],
)
def test_address_is_what_the_outermost_trusted_proxy_saw(settings, proxies, forwarded, address):
    assert seen(settings, proxies, forwarded) == address


def test_unix_socket_has_no_address(settings):
    assert seen(settings, 0, "", peer="") == ""


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::5", True),
        ("", False),
    ],
)
def test_key_is_used_from_its_networks_only(address, inside):
    assert is_within(address, ["10.0.0.0/8", "2001:db8::/32"]) is inside
