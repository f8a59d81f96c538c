"""Ids that grow with time: they are unique anywhere, and fill the service's index in order."""

from __future__ import annotations

import secrets
import time
import uuid


def time_ordered_id() -> str:
    """A UUID version 7."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=number | 0b10 << 62 | secrets.randbits(62)))
