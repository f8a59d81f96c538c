"""The public keys of an identity provider: read from its address, kept, and read again.

A key set is asked for when it is an hour old or when a token names a key that is not in it, at
most every half minute. While the provider cannot be reached, what was read last is good for a day.
"""

from datetime import datetime, timedelta
from typing import Any

import jwt
import orjson
from django.db.models import Q

from config.errors import Unavailable
from keystore import sender
from keystore.models import Algorithm, TokenIssuer

READ_AGAIN_AFTER = timedelta(hours=1)
GOOD_FOR = timedelta(days=1)
ASKED_AT_MOST_EVERY = timedelta(seconds=30)
SECONDS = 3.0  # a request waits for it
MOST_BYTES = 64 * 1024
MOST_KEYS = 50
SMALLEST_RSA_BITS = 2048
KEY_TYPE = {Algorithm.RS256: "RSA", Algorithm.ES256: "EC"}


class KeySetUnavailable(Unavailable):
    """The identity provider's keys cannot be read, and what was read before is too old."""

    code = "token_keys_unavailable"


def public_key(*, issuer: TokenIssuer, kid: str | None, at: datetime) -> jwt.PyJWK | None:
    """The key that a token names, read again where that may help. None: there is no such key."""
    found = _named(issuer, kid)
    if (found is None or _is_older(issuer, READ_AGAIN_AFTER, at)) and _may_ask(issuer, at):
        _read(issuer, at)
        found = _named(issuer, kid)
    if _is_older(issuer, GOOD_FOR, at):
        raise KeySetUnavailable("The sign-in service's keys cannot be read. Try again in a minute.")
    return found


def _is_older(issuer: TokenIssuer, age: timedelta, at: datetime) -> bool:
    return issuer.jwks_read_at is None or issuer.jwks_read_at <= at - age


def _may_ask(issuer: TokenIssuer, at: datetime) -> bool:
    """Whether this request is the one that asks: the others use what is there."""
    long_ago = Q(jwks_asked_at=None) | Q(jwks_asked_at__lte=at - ASKED_AT_MOST_EVERY)
    mine = TokenIssuer.objects.filter(long_ago, pk=issuer.pk).update(jwks_asked_at=at)
    if not mine:
        issuer.refresh_from_db(fields=["jwks", "jwks_read_at"])  # another one may have read it
    return bool(mine)


def _read(issuer: TokenIssuer, at: datetime) -> None:
    try:
        body = sender.fetch(url=issuer.jwks_url, seconds=SECONDS, most_bytes=MOST_BYTES)
        found = orjson.loads(body)
    except (Unavailable, orjson.JSONDecodeError):
        return  # what was read before stays, and ages
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        return
    usable = [key for key in keys if _is_usable(key, Algorithm(issuer.algorithm))][:MOST_KEYS]
    issuer.jwks, issuer.jwks_read_at = {"keys": usable}, at
    issuer.save(update_fields=["jwks", "jwks_read_at"])


def _is_usable(key: Any, algorithm: Algorithm) -> bool:
    """A public key of the issuer's one family that signs; anything else in the set is ignored."""
    if not isinstance(key, dict) or key.get("kty") != KEY_TYPE[algorithm]:
        return False
    if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm or "d" in key:
        return False
    try:
        parsed = jwt.PyJWK.from_dict(key, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return algorithm != Algorithm.RS256 or parsed.key_size >= SMALLEST_RSA_BITS


def _named(issuer: TokenIssuer, kid: str | None) -> jwt.PyJWK | None:
    """The key with that id; without an id, the only key there is."""
    keys = (issuer.jwks or {}).get("keys", [])
    named = [key for key in keys if key.get("kid") == kid] if kid is not None else keys
    if len(named) != 1:
        return None
    return jwt.PyJWK.from_dict(named[0], algorithm=issuer.algorithm)
