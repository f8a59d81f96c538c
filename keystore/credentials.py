"""The key that a request carries."""

from collections.abc import Mapping

LONGEST = 400  # twice the longest key; anything beyond is not looked at


def token_in(meta: Mapping[str, object]) -> str:
    """The key in `X-API-Key`, else in `Authorization: Bearer`; empty when there is none."""
    token = str(meta.get("HTTP_X_API_KEY") or "").strip()
    return (token or bearer_in(meta))[:LONGEST]


def bearer_in(meta: Mapping[str, object]) -> str:
    """What stands in `Authorization: Bearer`, at its whole length; empty when there is none."""
    scheme, _, rest = str(meta.get("HTTP_AUTHORIZATION") or "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""
