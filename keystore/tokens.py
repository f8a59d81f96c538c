"""What a key looks like, and what is kept of it."""

import hashlib
import hmac
import re
import secrets
import zlib

from django.conf import settings

from keystore.ids import ALPHABET, base62

OURS = "lk_"
RANDOM_LENGTH = 30  # 178 bits
CHECKSUM_LENGTH = 6  # CRC32 in base 62
FORM = re.compile(rf"lk_(?:live|test)_[0-9A-Za-z]{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}}")
FOREIGN_LENGTHS = range(8, 201)
MOST_SHOWN = 12
SHORTEST_WITH_TAIL = 20
OURS_SHOWN = 11  # what visible_parts leaves of a key in our own form


def new_token(environment: str) -> str:
    """A fresh key for `environment`: random, with a checksum so that typing errors cost nothing."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    start = f"{OURS}{environment}_{body}"
    return start + _checksum(start)


def is_plausible(token: str) -> bool:
    """Whether it is worth asking the database about `token`.

    Keys in our own form must have the right checksum; imported keys of other forms may be any
    8 to 200 visible ASCII characters.
    """
    if token.startswith(OURS):
        return FORM.fullmatch(token) is not None and hmac.compare_digest(
            _checksum(token[:-CHECKSUM_LENGTH]), token[-CHECKSUM_LENGTH:]
        )
    return (
        len(token) in FOREIGN_LENGTHS
        and token.isascii()
        and token.isprintable()
        and " " not in token
    )


def digest(token: str) -> str:
    """What the database keeps instead of the key: HMAC-SHA256 under the present pepper."""
    return _digest(token, settings.KEY_PEPPER)


def digests(token: str) -> list[str]:
    """Every digest that may be stored for `token`, the present pepper's first.

    A key of another form may have come as its SHA-256 alone.
    """
    wanted = [_digest(token, pepper) for pepper in _peppers()]
    if token.startswith(OURS):
        return wanted
    return wanted + imported_digests(hashlib.sha256(token.encode()).hexdigest())


def imported_digests(sha256: str) -> list[str]:
    """What may be kept of a key of which only the SHA-256 is known, the present pepper's first."""
    return [_digest(f"sha256:{sha256}", pepper) for pepper in _peppers()]


def visible_parts(token: str) -> tuple[str, str]:
    """The start and the last four characters that people may see; less of short keys."""
    shown = token[: min(MOST_SHOWN, len(token) // 4)]
    return shown, token[-4:] if len(token) >= SHORTEST_WITH_TAIL else ""


def _peppers() -> list[str]:
    return [pepper for pepper in (settings.KEY_PEPPER, settings.KEY_PEPPER_PREVIOUS) if pepper]


def _digest(token: str, pepper: str) -> str:
    return hmac.digest(pepper.encode(), token.encode(), "sha256").hex()


def _checksum(start: str) -> str:
    return base62(zlib.crc32(start.encode()), CHECKSUM_LENGTH)
