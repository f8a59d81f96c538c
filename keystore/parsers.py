"""JSON bodies, strictly: what PostgreSQL or other programs cannot hold is refused at the door."""

from collections.abc import Iterator, Mapping
from typing import IO, Any

import orjson
from rest_framework.parsers import BaseParser

from keystore.errors import InvalidJson, TooLarge

MOST_BYTES = 1_000_000
DEEPEST = 50


class StrictJSONParser(BaseParser):
    """application/json without NaN, NUL characters, lone surrogates or absurd sizes."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise TooLarge(f"A body may have {MOST_BYTES:,} bytes: send less at a time.")
        return parse_json(body)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text. Raises InvalidJson that says what is wrong with it."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"The body is not valid JSON: {error}.") from error
    if b"\\u0000" in body and any("\x00" in text for text in _texts(value)):
        raise InvalidJson("Texts must not contain the character U+0000: leave it out.")
    if _depth_exceeds(value, DEEPEST):
        raise InvalidJson(f"The body is nested deeper than {DEEPEST} levels: flatten it.")
    return value


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict):
            waiting += found.keys()
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def _depth_exceeds(value: Any, deepest: int) -> bool:
    level = _containers([value])
    for _ in range(deepest):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return False
    return True


def _containers(value: Any) -> list[Any]:
    """The objects and arrays directly inside an object or array."""
    inside = value.values() if isinstance(value, dict) else value
    return [inner for inner in inside if isinstance(inner, dict | list)]
