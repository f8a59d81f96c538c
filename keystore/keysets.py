"""The public keys of an identity provider: read from its address, kept, and read again.

A key set is asked for when it is an hour old or when a token names a key that is not in it, at
most every half minute. While the provider cannot be reached, what was read last is good for a day.
"""

from datetime import datetime, timedelta
from typing import Any

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
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
LARGEST_RSA_BITS = 8192  # larger ones take long to check a signature with
LARGEST_EXPONENT = 2**32 - 1
LONGEST_KID = 255
LONGEST_NUMBER = 2048  # characters: more than the largest modulus takes
MOST_LOOKED_AT = 4 * MOST_KEYS
KEY_TYPE = {Algorithm.RS256: "RSA", Algorithm.ES256: "EC"}
MEMBERS = {Algorithm.RS256: ("kty", "n", "e"), Algorithm.ES256: ("kty", "crv", "x", "y")}
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


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
        usable = fetch_keys(url=issuer.jwks_url, algorithm=Algorithm(issuer.algorithm))
    except Unavailable:
        return  # what was read before stays, and ages
    if not usable and (issuer.jwks or {}).get("keys"):
        return  # a provider that publishes nothing for a moment does not lock everybody out
    issuer.jwks, issuer.jwks_read_at = {"keys": usable}, at
    issuer.save(update_fields=["jwks", "jwks_read_at"])


def fetch_keys(*, url: str, algorithm: Algorithm) -> list[dict[str, str]]:
    """The keys of one family that are published at `url`. Raises Unavailable: no key set there."""
    body = sender.fetch(url=url, seconds=SECONDS, most_bytes=MOST_BYTES)
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise Unavailable(f"{url} does not answer with JSON.") from problem
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise Unavailable(f"{url} does not answer with a key set.")
    usable = [_usable(key, algorithm) for key in keys[:MOST_LOOKED_AT]]
    return [key for key in usable if key is not None][:MOST_KEYS]


def _usable(key: Any, algorithm: Algorithm) -> dict[str, str] | None:
    """What is kept of a public key of the family that signs; None for anything else in the set."""
    if not isinstance(key, dict) or key.get("kty") != KEY_TYPE[algorithm]:
        return None
    if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
        return None
    operations = key.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations or PRIVATE & key.keys():
        return None
    kept = {name: key[name] for name in (*MEMBERS[algorithm], "kid") if name in key}
    if not all(_is_plain(name, text) for name, text in kept.items()):
        return None
    return kept if _is_strong(kept, algorithm) else None


def _is_plain(name: str, text: Any) -> bool:
    longest = LONGEST_KID if name == "kid" else LONGEST_NUMBER
    return isinstance(text, str) and text.isascii() and text.isprintable() and len(text) <= longest


def _is_strong(kept: dict[str, str], algorithm: Algorithm) -> bool:
    try:
        parsed = jwt.PyJWK.from_dict(kept, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    if algorithm == Algorithm.ES256:
        return kept["crv"] == "P-256"
    exponent = int(parsed.public_numbers().e)
    return bool(
        SMALLEST_RSA_BITS <= parsed.key_size <= LARGEST_RSA_BITS and exponent <= LARGEST_EXPONENT
    )


def _named(issuer: TokenIssuer, kid: str | None) -> jwt.PyJWK | None:
    """The key with that id; without an id, the only key there is."""
    keys = (issuer.jwks or {}).get("keys", [])
    named = [key for key in keys if key.get("kid") == kid] if kid is not None else keys
    if len(named) != 1:
        return None
    return jwt.PyJWK.from_dict(named[0], algorithm=issuer.algorithm)
