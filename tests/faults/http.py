"""Calls over real HTTP that never raise for a status."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from sandbox.webhooks import sign


@dataclass(frozen=True)
class Answer:
    """Status 0: nobody answered. `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    text: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def call(
    method: str,
    url: str,
    body: bytes = b"",
    *,
    timeout: float = 30,
    **headers: str,
) -> Answer:
    began = time.monotonic()
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    where = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connection.request(method, where, body or None, named)
        found = connection.getresponse()
        told = {name.lower(): value for name, value in found.getheaders()}
        text = found.read().decode(errors="replace")
        return Answer(found.status, told, text, time.monotonic() - began)
    except (OSError, http.client.HTTPException) as problem:
        return Answer(0, {}, repr(problem), time.monotonic() - began)
    finally:
        connection.close()


def post_json(url: str, given: Any, **headers: str) -> Answer:
    return call("POST", url, json.dumps(given).encode(), Content_Type="application/json", **headers)


def post_form(url: str, form: dict[str, str]) -> Answer:
    body = urlencode(form).encode()
    return call("POST", url, body, Content_Type="application/x-www-form-urlencoded")


def post_signed(url: str, event: dict[str, Any], secret: str, **headers: str) -> Answer:
    """Send an event as Stripe does, signed now."""
    body = json.dumps(event).encode()
    signature = sign(body, secret, int(time.time()))
    return call(
        "POST", url, body, Content_Type="application/json", Stripe_Signature=signature, **headers
    )
