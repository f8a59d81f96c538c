"""Requests that take something: events and checks, for a world that each side has of its own.

SIDE in a name stands for the side; it is replaced by a text of the same length.
"""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

SIDE = "~SIDE~"
SIDES = ("~DJNG~", "~DOOR~")
RICH, POOR = f"rich{SIDE}", f"poor{SIDE}"
USERS = [RICH] * 8 + [POOR] * 3 + ["alice", "mallory", "nobody", "", "x" * 256, "a\0", "con_none"]
METERS = ["calls"] * 8 + ["seats", "latest", "free", "free", "nothing", "gone", "", "é"]
QUANTITIES: list[Any] = [1, 1, 1, 2, "0.25", 0, -1, "x", True, None, 1e25, "1e-13", [], "9" * 90]
CLOUD = {"specversion": "1.0", "source": "/s", "type": "calls", "subject": RICH}
WRONG: list[bytes] = [
    *(b"", b"{}", b"[]", b"null", b"{", b"NaN", b'{"id": NaN}', b'{"events": []}', b'"x"', b"\xff"),
    *(b"[" * 100_000, b'{"a":' * 50_000, b" " * 6_000_001, b'{"events": [1, null, {}]}'),
    b'{"id": "n", "meter": "free", "user_id": "alice", "quantity": NaN}',
    b'{"id": "i", "meter": "free", "user_id": "alice", "quantity": 1e400}',
    b'{"id": "z\\u0000", "meter": "free", "user_id": "alice"}',
    b'{"id": "s\\ud800", "meter": "free", "user_id": "alice"}',
    b'{"id": "u", "meter": "free", "user_id": "alice", "qty": 1}',
    b'{"id": "p", "meter": "free", "user_id": "alice", "properties": {"a": 1e400}}',
    b'{"id": "d", "meter": "free", "user_id": "alice", "properties": {"a": '
    + b"[" * 3_000
    + b"]" * 3_000
    + b"}}",
]
PLAIN = ["application/json"] * 8 + ["application/json; charset=utf-8", "text/plain", ""]


def events_request(tokens: dict[str, str], dice: random.Random) -> tuple[str, dict[str, Any]]:
    kind = dice.choice(["one"] * 6 + ["several", "several", "cloud", "batch", "binary", "wrong"])
    given: dict[str, Any] = {"CONTENT_TYPE": dice.choice(PLAIN)}
    if kind == "one":
        body = json.dumps(_event(dice)).encode()
    elif kind == "several":
        many = dice.choice([1, 2, 9])
        body = json.dumps({"events": [_event(dice) for _ in range(many)]}).encode()
    elif kind == "wrong":
        body = dice.choice(WRONG)
    else:
        body, given = _cloud(kind, dice)
    if dice.random() < 0.05:
        given["HTTP_IDEMPOTENCY_KEY"] = "once"
    return "/api/v1/usage/events", _post(body, given, tokens, dice)


def check_request(tokens: dict[str, str], dice: random.Random) -> tuple[str, dict[str, Any]]:
    wish: dict[str, Any] = {"feature_code": dice.choice(["calls"] * 6 + ["exports", "nothing"])}
    if dice.random() < 0.5:
        wish |= {"user_id": dice.choice(["alice", "alice", "bob", "nobody", "mallory"])}
        wish |= dice.choice([{}, {}, {"quantity": 4}, {"with_preview": True}, {"quantity": "x"}])
    else:
        wish |= {"user_id": dice.choice([RICH, RICH, POOR, "nobody"])}
        wish |= {"quantity": dice.choice([1, 1, 2, 0, -1, 11])}
        wish |= dice.choice([{"consume": True}, {"consume": True}, {"reserve": True}])
        wish |= dice.choice([{}, {"event_id": _id(dice)}, {"reserve": True}, {"ttl_seconds": 0}])
    body = dice.choice(WRONG[:10]) if dice.random() < 0.05 else json.dumps(wish).encode()
    given: dict[str, Any] = {"CONTENT_TYPE": dice.choice(PLAIN)}
    if dice.random() < 0.15:
        given["HTTP_IF_NONE_MATCH"] = "*"
    return "/api/v1/check", _post(body, given, tokens, dice)


def _post(
    body: bytes, given: dict[str, Any], tokens: dict[str, str], dice: random.Random
) -> dict[str, Any]:
    name = dice.choice(["app"] * 12 + ["weak", "reader", "alice", "revoked", "unknown"])
    length = {"CONTENT_LENGTH": str(len(body))}
    return {"method": "POST", "body": body, "HTTP_X_API_KEY": tokens[name], **length, **given}


def _id(dice: random.Random) -> str:
    """Of few: some come again, as the same event or as another."""
    return f"e{dice.randrange(150)}{SIDE}"


def _event(dice: random.Random) -> dict[str, Any]:
    told: dict[str, Any] = {"id": _id(dice), "meter": dice.choice(METERS)}
    told["user_id"] = dice.choice(USERS)
    if dice.random() < 0.4:
        told["quantity"] = dice.choice(QUANTITIES)
    if dice.random() < 0.3:
        told |= dice.choice(
            [
                {"occurred_at": (datetime.now(UTC) - timedelta(days=days)).isoformat()}
                for days in (0, 1, 34, 40, -1)
            ]
            + [{"occurred_at": "2026-01-01T00:00:00"}, {"source": "s"}, {"source": "latchkey:x"}]
            + [{"api": "images"}, {"api": "none"}, {"key": "key_none"}, {"qty": 1}]
            + [{"properties": {"model": "m"}}, {"properties": {"a": "x" * 4_096}}]
        )
    return told


def _cloud(kind: str, dice: random.Random) -> tuple[bytes, dict[str, Any]]:
    one = {**CLOUD, "id": _id(dice), "data": {"quantity": dice.choice([1, 2, "x"])}}
    if kind == "batch":
        other = {**one, "id": _id(dice), "type": dice.choice(METERS)}
        return json.dumps([one, other]).encode(), {
            "CONTENT_TYPE": "application/cloudevents-batch+json"
        }
    if kind == "cloud":
        return json.dumps(one).encode(), {"CONTENT_TYPE": "application/cloudevents+json"}
    names = {"id": one["id"], "source": "/s", "type": "calls", "subject": RICH}
    headers = {f"HTTP_CE_{name.upper()}": str(value) for name, value in names.items()}
    return b'{"quantity": 1}', {
        "CONTENT_TYPE": "application/json",
        "HTTP_CE_SPECVERSION": "1.0",
        **headers,
    }
