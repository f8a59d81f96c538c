"""Is a report of leaked keys from who may send them? ECDSA P-256 over the raw body.

The public keys come from the settings or from an address, as GitHub publishes them; a list that was
read is kept for an hour, and read again for a key that it lacks, at most once a minute.
"""

import base64
import binascii
import logging
import re
import threading
import time
from collections.abc import Callable
from functools import lru_cache

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.conf import settings

from config.errors import DomainError, NotFound
from keystore.sender import fetch

logger = logging.getLogger(__name__)

KEEP_SECONDS = 3600.0
REST_SECONDS = 60.0  # between two readings, also when the last one failed
FETCH_SECONDS = 5.0
MOST_BYTES = 200_000
LONGEST_SIGNATURE = 200
PEM = re.compile(r"-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----")


class UnverifiedReport(DomainError):
    """The report is not signed by anybody whose key is known here."""

    code = "unverified_report"
    status = 401


class PublicKeys:
    """Identifier -> public key, as last read from `url`."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._read_at = self._tried_at = float("-inf")

    def get(self, identifier: str) -> EllipticCurvePublicKey | None:
        """Raises Unavailable when there is no list at all."""
        with self._lock:
            now = self._clock()
            outdated = now - self._read_at > KEEP_SECONDS or identifier not in self._keys
            if outdated and now - self._tried_at > REST_SECONDS:
                self._tried_at = now
                self._read()
                self._read_at = now
            return self._keys.get(identifier)

    def _read(self) -> None:
        try:
            body = fetch(url=self._url, seconds=FETCH_SECONDS, most_bytes=MOST_BYTES)
            self._keys = keys_in(body)
        except DomainError:
            if not self._keys:
                self._tried_at = float("-inf")
                raise
            logger.warning("scanners.keys_not_read", exc_info=True)


def keys_in(body: bytes) -> dict[str, EllipticCurvePublicKey]:
    """The usable keys of a list as GitHub publishes it; those of other kinds are left out."""
    try:
        listed = orjson.loads(body)["public_keys"]
        pairs = [(one["key_identifier"], _public_key(one["key"])) for one in listed]
    except (orjson.JSONDecodeError, KeyError, TypeError) as problem:
        logger.warning("scanners.keys_not_understood", extra={"why": repr(problem)[:200]})
        return {}
    return {str(identifier): key for identifier, key in pairs if key is not None}


def verify_report(*, body: bytes, identifier: str, signature: str) -> None:
    """Raise UnverifiedReport unless `signature` (base64 of DER) is of `body` and by a known key.

    Raises NotFound when nobody may report, Unavailable when the keys cannot be read.
    """
    if not (settings.SECRET_SCANNING_PUBLIC_KEYS or settings.SECRET_SCANNING_KEYS_URL):
        raise NotFound("Reports of leaked keys are not taken here.")
    try:
        if not signature or len(signature) > LONGEST_SIGNATURE:
            raise ValueError
        signed = base64.b64decode(signature, validate=True)
    except (ValueError, binascii.Error):
        raise _refusal() from None
    keys = list(configured_keys(settings.SECRET_SCANNING_PUBLIC_KEYS))
    if settings.SECRET_SCANNING_KEYS_URL:
        named = published_keys(settings.SECRET_SCANNING_KEYS_URL).get(identifier)
        keys += [named] if named else []
    if not any(_is_signed(key, signed, body) for key in keys):
        raise _refusal()


@lru_cache(maxsize=4)
def published_keys(url: str) -> PublicKeys:
    return PublicKeys(url)


@lru_cache(maxsize=4)
def configured_keys(text: str) -> tuple[EllipticCurvePublicKey, ...]:
    found = (_public_key(pem) for pem in PEM.findall(text))
    return tuple(key for key in found if key is not None)


def _public_key(pem: str) -> EllipticCurvePublicKey | None:
    """The key, if it is of P-256."""
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError:
        return None
    is_ours = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return key if is_ours and isinstance(key, EllipticCurvePublicKey) else None


def _is_signed(key: EllipticCurvePublicKey, signature: bytes, body: bytes) -> bool:
    try:
        key.verify(signature, body, ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _refusal() -> UnverifiedReport:
    return UnverifiedReport("The signature is not of this body by a key that is known here.")
