"""Whoever has a checkout's session id can open its return page and collect the buyer's key there.
Staff therefore see only its start; searching for a whole one still finds it.
"""

import re

SESSION_ID = re.compile(r"\b(cs_(?:test_|live_)?[A-Za-z0-9]{4})[A-Za-z0-9]{4,}")


def veiled(text: str) -> str:
    """The text with every session id cut short."""
    return SESSION_ID.sub(r"\1...", text)
