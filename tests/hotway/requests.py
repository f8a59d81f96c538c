"""A thousand requests for the hot paths from one seed: plain ones, and every oddity by turns."""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import stripe

from tests.hotway.conftest import Environ, environ_of
from tests.hotway.usage_requests import SIDE, check_request, events_request

SECRET = "whsec_tests_current"
USERS = [
    *("alice", "bob", "nobody", "mallory", "user@example.com", "user%40example.com", "a b", "a+b"),
    *(
        "%61lice",
        "ALICE",
        "",
        "a" * 255,
        "a" * 256,
        "%00",
        "a%00b",
        "\u00e9",
        "%C3%A9",
        "%E9",
        "%zz",
    ),
    *("alice%20", "alice/", "..", "%2e%2e", "a|b", "a,b", "a;b", "con_unknown", "{ours}", "%F0%9F"),
]
PROJECTS = ["journal", "{project}", "{project_id}", "orbit", "", "0", "journal%20", "%6aournal"]
MORE_QUERIES = [
    *("explain=true", "explain=false", "explain=maybe", "format=json", "format=xml", "x=1"),
    *("user_id=bob", "project_id=journal&project_id=orbit", "user_id", "&", "%", "callback=f"),
]
ACCEPTS = ["*/*", "application/json", "text/html", "application/xml", "", "text/*;q=0.1, */*;q=0"]
ODD_HEADERS: list[dict[str, str]] = [
    {"HTTP_COOKIE": "sessionid=1"},
    {"HTTP_HOST": "evil.example.com"},
    {"HTTP_HOST": ""},
    {"HTTP_HOST": "localhost"},
    {"HTTP_X_REQUEST_ID": "mine-1"},
    {"HTTP_X_REQUEST_ID": "not sane\x7f"},
    {"HTTP_X_FORWARDED_PROTO": "https"},
    {"HTTP_X_FORWARDED_FOR": "203.0.113.9, 10.0.0.1"},
    {"HTTP_X_FORWARDED_HOST": "evil.example.com"},
    {"HTTP_IF_NONE_MATCH": "*"},
    {"HTTP_IF_NONE_MATCH": '"' + "0" * 64 + '"'},
    {"HTTP_IF_NONE_MATCH": 'W/"abc", "def"'},
    {"HTTP_IF_NONE_MATCH": "{etag}"},
    {"HTTP_IF_NONE_MATCH": "W/{etag}"},
    {"HTTP_IF_MATCH": '"abc"'},
    {"HTTP_IF_MODIFIED_SINCE": "Sat, 01 Jan 2050 00:00:00 GMT"},
    {"HTTP_RANGE": "bytes=0-1"},
    {"HTTP_EXPECT": "100-continue"},
    {"HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE"},
    {"HTTP_ORIGIN": "https://evil.example.com"},
    {"HTTP_X_VERY_LONG": "x" * 60_000},
    {"HTTP_ACCEPT_LANGUAGE": "de"},
    {"HTTP_ACCEPT_ENCODING": "gzip, br"},
    {"CONTENT_LENGTH": "5"},
    {"CONTENT_LENGTH": "-1"},
    {"CONTENT_LENGTH": "abc"},
    {"CONTENT_TYPE": "text/plain"},
    {"REMOTE_ADDR": "2001:db8::1"},
    {"REMOTE_ADDR": ""},
    {"SCRIPT_NAME": "/below"},
    {"wsgi.url_scheme": "https"},
]
KEYS = ["alice", "bob", "limited"] * 4  # what the gateway is asked about, mostly
METHODS = ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "POST", "GET", "get", "BREW"]
BODIES: list[bytes] = [
    *(b"", b"{}", b"[]", b"null", b"{", b"NaN", b'{"key": NaN}', b'{"key": 1e400}', b'"x"'),
    *(b"\xff\xfe", b'{"key": "\\u0000"}', b'{"key": "\\ud800"}', b"[" * 200, b" " * 20_000),
    b'{"key": ["a"]}',
    b'{"key": 5}',
    b'{"key": "  "}',
    b'{"key": "a", "key": "b"}',
    b'{"key": "x", "ip": "999.1.1.1"}',
    b'{"key": "x", "scopes": "read"}',
    b'{"key": "x", "scopes": [1, true, null]}',
    b'{"key": "x", "feature": null}',
    b'{"key": "x", "other": 1}',
]
JSON_TYPES = ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"]
OTHER_TYPES = ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data"]


@dataclass
class Cast:
    """What the requests speak of."""

    tokens: dict[str, str]
    names: dict[str, str]
    etag: str


Make = Callable[[str], Environ]


def thousand(cast: Cast, seed: int, count: int) -> Iterator[Make]:
    """Each makes its request anew for a side, since bodies are read once."""
    dice = random.Random(seed)
    kinds = [_entitlements, _entitlements, _verify_get, _whoami, _verify_post, _receipt]
    kinds += [_events, _check, _events]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        path, given = kind(cast, dice)
        if dice.random() < 0.35:
            given |= _odd(cast, dice)
        if dice.random() < 0.05:
            path = dice.choice([f"{path}/", f"/{path}", path.upper(), f"{path}%00", f"{path}\0"])
        yield lambda side, path=path, given=given: environ_of(path, **_for_side(given, side))


def _for_side(given: dict[str, Any], side: str) -> dict[str, Any]:
    texts = {name: each.replace(SIDE, side) for name, each in given.items() if type(each) is str}
    body = given.get("body", b"").replace(SIDE.encode(), side.encode())
    return {**given, **texts, "body": body}


def _events(cast: Cast, dice: random.Random) -> tuple[str, dict[str, Any]]:
    return events_request(cast.tokens, dice)


def _check(cast: Cast, dice: random.Random) -> tuple[str, dict[str, Any]]:
    return check_request(cast.tokens, dice)


def _odd(cast: Cast, dice: random.Random) -> dict[str, Any]:
    if dice.random() < 0.2:
        return {"method": dice.choice(METHODS)}
    if dice.random() < 0.2:
        return {"HTTP_ACCEPT": dice.choice(ACCEPTS)}
    odd = dice.choice(ODD_HEADERS)
    return {name: value.replace("{etag}", cast.etag) for name, value in odd.items()}


def _key(cast: Cast, dice: random.Random, likely: Sequence[str]) -> dict[str, str]:
    token = cast.tokens[dice.choice([*likely, *sorted(cast.tokens)])]
    header = dice.choice(["key", "key", "key", "bearer", "basic", "both", "none", "spaced"])
    return {
        "key": {"HTTP_X_API_KEY": token},
        "bearer": {"HTTP_AUTHORIZATION": f"Bearer {token}"},
        "basic": {"HTTP_AUTHORIZATION": f"Basic {token}"},
        "both": {"HTTP_X_API_KEY": token, "HTTP_AUTHORIZATION": "Bearer other"},
        "none": {},
        "spaced": {"HTTP_X_API_KEY": f" {token} "},
    }[header]


def _query(cast: Cast, dice: random.Random) -> str:
    user = dice.choice([*USERS, "alice", "alice", "bob", "bob", "alice"])
    parts = [f"user_id={user}"] if dice.random() < 0.95 else []
    if dice.random() < 0.3:
        parts.append(f"project_id={dice.choice(PROJECTS)}")
    if dice.random() < 0.15:
        parts.append(dice.choice(MORE_QUERIES))
    if dice.random() < 0.1:
        dice.shuffle(parts)
    text = "&".join(parts)
    for name, value in cast.names.items():
        text = text.replace(f"{{{name}}}", value)
    # As servers hand it on: bytes beyond ASCII as Latin-1.
    return text.encode().decode("latin-1")


def _entitlements(cast: Cast, dice: random.Random) -> tuple[str, dict[str, Any]]:
    known = {"HTTP_IF_NONE_MATCH": cast.etag} if dice.random() < 0.1 else {}
    key = _key(cast, dice, ["app"] * 30)
    return "/api/v1/entitlements", {"query": _query(cast, dice), **key, **known}


def _gateway_query(dice: random.Random) -> str:
    values = {
        "scopes": ["", "read", "read,write", "read%20write", "read+x", "*"],
        "feature": ["", "exports", "nothing", "%65xports"],
        "api": ["", "images", "nothing"],
        "project": ["", "journal", "orbit", "jour%6eal"],
        "environment": ["", "live", "test", "nowhere"],
    }
    names = dice.sample(sorted(values), dice.choice([0, 0, 0, 1, 1, 2, 3]))
    parts = [f"{name}={dice.choice(values[name])}" for name in names]
    if dice.random() < 0.1:
        parts.append(
            dice.choice(["scopes=read", "feature=exports", "x=1", "format=xml", "&&", "="])
        )
    return "&".join(parts)


def _verify_get(cast: Cast, dice: random.Random) -> tuple[str, dict[str, Any]]:
    return "/api/v1/keys/verify", {
        "query": _gateway_query(dice),
        **_key(cast, dice, KEYS),
    }


def _whoami(cast: Cast, dice: random.Random) -> tuple[str, dict[str, Any]]:
    path = dice.choice(["/whoami", "/api/v1/whoami"])
    return path, {
        "query": _gateway_query(dice),
        **_key(cast, dice, KEYS),
    }


def _verify_post(cast: Cast, dice: random.Random) -> tuple[str, dict[str, Any]]:
    wish: dict[str, Any] = {"key": cast.tokens[dice.choice(sorted(cast.tokens))]}
    wish |= dice.choice([{}, {}, {"feature": "exports"}, {"feature": ""}, {"environment": "live"}])
    wish |= dice.choice([{}, {}, {"scopes": ["read"]}, {"ip": "203.0.113.9"}, {"ip": "::1"}])
    wish |= dice.choice([{}, {}, {}, {"api": "images"}, {"scopes": [" read "]}, {"feature": "é"}])
    body = json.dumps(wish).encode() if dice.random() < 0.8 else dice.choice(BODIES)
    caller = (
        {"HTTP_X_API_KEY": cast.tokens["app"]}
        if dice.random() < 0.8
        else _key(cast, dice, ["weak"])
    )
    return "/api/v1/keys/verify", {
        "method": "POST",
        "body": body,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": _type(dice),
        **caller,
    }


def _type(dice: random.Random) -> str:
    return dice.choice([*JSON_TYPES, *JSON_TYPES, *OTHER_TYPES])


def _receipt(cast: Cast, dice: random.Random) -> tuple[str, dict[str, Any]]:
    event = {
        "id": f"evt_{dice.getrandbits(64):016x}",
        "object": "event",
        "type": "plan.updated",
        "livemode": dice.choice([False, False, False, True, None]),
        "created": int(time.time()),
        "data": {"object": {"id": "plan_1", "name": dice.choice(["é", "\ud800", "a\x00b", "x"])}},
    }
    body = json.dumps(event).encode() if dice.random() < 0.8 else dice.choice(BODIES)
    signed_at = int(time.time()) - dice.choice([0, 0, 0, 0, 200, 400, -400])
    return dice.choice(["/webhooks/stripe", "/api/v1/webhooks/stripe", "/billing/webhook"]), {
        "method": "POST",
        "body": body,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": dice.choice([*JSON_TYPES, "text/plain", ""]),
        **dice.choice([_signature(body, signed_at)] * 5 + [{}, {"HTTP_STRIPE_SIGNATURE": "t=1"}]),
    }


def _signature(body: bytes, at: int) -> dict[str, str]:
    payload = f"{at}.{body.decode('latin-1')}" if body[:1] == b"\xff" else f"{at}.{body.decode()}"
    signature = stripe.WebhookSignature._compute_signature(payload, SECRET)
    return {"HTTP_STRIPE_SIGNATURE": f"t={at},v1={signature}"}
