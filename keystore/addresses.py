"""Where a request comes from, and whether a key may be used from there."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

from config.errors import InvalidInput

Address = IPv4Address | IPv6Address


def remote_address(meta: Mapping[str, object]) -> str:
    """The caller's address from a WSGI environ; empty when it cannot be known.

    With N trusted proxies the N-th entry of X-Forwarded-For from the right counts: everything to
    the left of it was written by the caller.
    """
    found = str(meta.get("REMOTE_ADDR") or "")
    hops = str(meta.get("HTTP_X_FORWARDED_FOR") or "")
    if settings.TRUSTED_PROXY_COUNT and hops:
        entries = hops.split(",")
        found = entries[max(0, len(entries) - settings.TRUSTED_PROXY_COUNT)]
    address = _address(_without_port(found.strip()))
    return str(address) if address else ""


def guessing_address(request: HttpRequest) -> str | None:
    """Where somebody who guesses passwords is: of IPv6 the /64, since one line has all of it."""
    address = _address(remote_address(request.META))
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False).network_address)
    return str(address) if address else None


def is_within(remote_ip: str, cidrs: Sequence[str]) -> bool:
    """Whether the address lies in one of the networks. An unknown address lies in none."""
    address = _address(remote_ip)
    if address is None:
        return False
    return any(address in ip_network(cidr, strict=False) for cidr in cidrs)


def normal_networks(cidrs: Sequence[str]) -> list[str]:
    """The networks in their one canonical spelling. Raises InvalidInput for what is none."""
    try:
        return [str(ip_network(cidr.strip(), strict=False)) for cidr in cidrs]
    except ValueError as error:
        raise InvalidInput(
            f"{error}: write networks as 203.0.113.0/24 or 2001:db8::/32."
        ) from error


@lru_cache(maxsize=10_000)
def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
