"""Which addresses hooks may be sent to: checked when one is stored, and again at every send."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator

from config.errors import InvalidInput

MAX_LENGTH = 500
UNICAST = ipaddress.IPv6Network("2000::/3")  # all that is given out of IPv6
SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")


class UnusableAddress(InvalidInput):
    """No hook may be sent there."""

    code = "unusable_hook_url"


def check_url(url: str) -> None:
    """Raise UnusableAddress unless `url` is a plain https address of a public host.

    A name is resolved at the send alone, where the address that was checked is the one that is
    called: whatever it meant when it was stored, it may mean something else by then.
    """
    if len(url) > MAX_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise _refusal(f"Write it with at most {MAX_LENGTH} visible ASCII characters.")
    if "\\" in url:
        raise _refusal("It holds a backslash.")
    parts = _parts(url)
    schemes = ["https", "http"] if _is_lenient() else ["https"]
    if parts.scheme not in schemes:
        raise _refusal("It must begin with https://.")
    if "@" in parts.netloc:
        raise _refusal("It names a user: receivers check the signature instead.")
    if parts.fragment:
        raise _refusal("It has a part after #, which is never sent.")
    if not settings.HOOKS_ALLOW_PRIVATE_ADDRESSES:
        _check_public(parts.hostname or "", url)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is a single host of the internet, and no IPv4 address in disguise."""
    if isinstance(address, ipaddress.IPv6Address):
        in_use = address in UNICAST and address not in SIX_TO_FOUR
        return bool(in_use and address.is_global)
    return bool(address.is_global and not (address.is_multicast or address.is_reserved))


def _is_lenient() -> bool:
    return bool(settings.DEBUG or settings.HOOKS_ALLOW_PRIVATE_ADDRESSES)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise _refusal(f"{error}.") from error
    if not known:
        raise _refusal("It names no host.")
    return parts


def _check_public(host: str, url: str) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        _check_name(host, url)
        return
    if not is_public(address):
        raise _refusal(f"{host} is not a public address.")


def _check_name(host: str, url: str) -> None:
    """Names with a dot and letters only; numbers in disguise (0x7f.1, 2130706433) are none."""
    last = host.rstrip(".").rpartition(".")[2]
    if "." not in host or last[:1].isdigit() or last in ("localhost", "local", "internal"):
        raise _refusal(f"{host} is not the name of a public host.")
    try:
        URLValidator(schemes=["https", "http"])(url)
    except ValidationError as error:
        raise _refusal("It is not a valid URL.") from error


def _refusal(why: str) -> UnusableAddress:
    message = f"Hooks cannot be sent to this address. {why}"
    return UnusableAddress(message, errors=[{"location": "body.url", "message": why}])
