"""One usage event as it was told, checked for what needs no look into the database. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from hashlib import blake2b
from typing import Any

import msgspec
import orjson

from config.errors import DomainError
from metering.errors import InvalidEvent, InvalidQuantity, PropertiesTooLarge

MOST_PROPERTY_BYTES = 4_096
LONGEST_TEXT = 255
LONGEST_NUMBER = 80
LARGEST = Decimal(10) ** 26
FINEST = -12
EXACT = Context(prec=100)  # the usual one rounds at 28 digits
OURS = "latchkey:"  # begins sources that no app may use: it could take the names of our events
NUMBER = re.compile(rb'"?(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?)"?')
NONE = b"{}"


@dataclass(slots=True)
class Told:
    """One event, not yet looked up. `quantity` None: not told. `properties` is JSON text as sent,
    `kept` the same in the form in which it is kept: its numbers are doubles.

    `fingerprint` is the same for the same event, however its JSON was written.
    """

    id: str
    source: str
    meter: str
    user_id: str
    quantity: Decimal | None
    occurred_at: datetime | None
    properties: bytes
    kept: bytes
    api: str
    key: str
    fingerprint: bytes


@dataclass(slots=True)
class Unreadable:
    """An event that is refused for what it is; its names as far as they could be read."""

    id: str
    source: str
    error: DomainError


def told(
    *,
    id: str,
    source: str,
    meter: str,
    user_id: str,
    quantity: bytes,
    occurred_at: datetime | None,
    properties: bytes,
    api: str,
    key: str,
) -> Told:
    """The event of these fields, `quantity` and `properties` as JSON text, empty if not told.

    Raises DomainError.
    """
    check_name("id", id)
    for field, value in (("source", source), ("api", api), ("key", key)):
        if value:
            check_name(field, value, at_least=0)
    if source.startswith(OURS):
        raise InvalidEvent(f"Sources that begin with {OURS!r} are Latchkey's own: send another.")
    check_name("meter", meter)
    check_name("user_id", user_id)
    amount = quantity_of(quantity) if quantity and quantity != b"null" else None
    kept = kept_properties(properties)
    names = (
        f"{meter}\n{user_id}\n{'' if amount is None else amount.normalize(EXACT)}\n"
        f"{occurred_at.timestamp() if occurred_at else ''}\n{api}\n{key}\n"
    )
    fingerprint = blake2b(names.encode() + kept, digest_size=16).digest()
    return Told(
        id, source, meter, user_id, amount, occurred_at, properties, kept, api, key, fingerprint
    )


def quantity_of(raw: bytes) -> Decimal:
    """A JSON number, or a number as text, exactly. Raises InvalidQuantity."""
    if len(raw) < 16 and raw.isdigit():
        return Decimal(raw.decode())
    found = NUMBER.fullmatch(raw) if len(raw) <= LONGEST_NUMBER else None
    if found is None or raw.startswith(b'"') != raw.endswith(b'"'):
        raise InvalidQuantity(
            'A quantity is a number or a number as text, such as 3 or "0.25", with at most 26 '
            "digits before and 12 behind the point."
        )
    number = Decimal(found[1].decode())
    if number < 0:
        raise InvalidQuantity("A quantity must not be negative: void or amend an event instead.")
    if number >= LARGEST:
        raise InvalidQuantity("A quantity must be below 10 to the power of 26.")
    exponent = number.normalize(EXACT).as_tuple().exponent
    if isinstance(exponent, int) and exponent < FINEST:
        raise InvalidQuantity("A quantity has at most 12 digits behind the point.")
    return number


def check_name(field: str, value: str, at_least: int = 1) -> None:
    """Raises InvalidEvent unless the column that keeps `value` can hold it."""
    if at_least <= len(value) <= LONGEST_TEXT and "\x00" not in value:
        return
    raise InvalidEvent(
        f"{field} has {at_least} to {LONGEST_TEXT} characters, none of them U+0000.",
        errors=[{"location": field, "message": "Not usable.", "fix": "Send another text."}],
    )


def kept_properties(raw: bytes) -> bytes:
    """The one form that equal properties share; empty if there are none. Raises DomainError."""
    if not raw or raw in (NONE, b"null"):
        return b""
    if len(raw) > MOST_PROPERTY_BYTES:
        raise PropertiesTooLarge(
            f"properties may have {MOST_PROPERTY_BYTES:,} bytes: keep what you group by, "
            "and put the rest elsewhere."
        )
    if raw[:1] != b"{" or b"\\u0000" in raw:
        raise InvalidEvent("properties is an object, without the character U+0000.")
    try:
        return orjson.dumps(orjson.loads(raw), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise InvalidEvent(f"properties is not usable: {error}.") from error


def named(raw: Any) -> tuple[str, str]:
    """Id and source of an event that cannot be read, as far as they are texts."""
    try:
        fields = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", ""
    names = (fields.get("id"), fields.get("source"))
    texts = [name if isinstance(name, str) and "\x00" not in name else "" for name in names]
    return texts[0][:LONGEST_TEXT], texts[1][:LONGEST_TEXT]
