"""Answers as bytes, whoever reads the socket."""

from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any

import orjson

# In META: the error after which the front door does not know whether something was taken. Begun
# anew, it could be taken twice: the view raises it instead.
UNFINISHED = "latchkey.unfinished"
OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(status: int, content: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, packed(content), {"Content-Type": "application/json", **(headers or {})})


def conditional_reply(
    content: Any, *, if_none_match: str, headers: dict[str, str] | None = None
) -> Reply:
    """200 with an ETag of the content, or 304 when the asker has it already."""
    body = packed(content)
    etag = f'"{sha256(body).hexdigest()}"'
    told = {**(headers or {}), "ETag": etag}
    known = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    if etag in known or "*" in known:
        return Reply(304, b"", told)
    return Reply(200, body, {"Content-Type": "application/json", **told})


def packed(content: Any) -> bytes:
    return orjson.dumps(content, option=OPTIONS, default=_shown)


def _shown(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(type(value).__name__)
