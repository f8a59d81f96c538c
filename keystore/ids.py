"""Public ids: what callers see instead of row numbers."""

import re
import secrets
import time

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TIME_BITS = 48
RANDOM_BITS = 80
LENGTH = 22  # 128 bits in base 62
CONSUMER_ID = re.compile(rf"con_[0-9A-Za-z]{{{LENGTH}}}")


def base62(number: int, length: int) -> str:
    """`number` in base 62, left-padded to `length` characters."""
    characters: list[str] = []
    while number:
        number, rest = divmod(number, 62)
        characters.append(ALPHABET[rest])
    return "".join(reversed(characters)).rjust(length, ALPHABET[0])


def new_id(prefix: str) -> str:
    """A new id such as con_0K8m...: sorts by creation time, 80 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds & ((1 << TIME_BITS) - 1)) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
    return f"{prefix}_{base62(number, LENGTH)}"
