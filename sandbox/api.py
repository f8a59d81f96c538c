"""The one dispatch: method, path, body and headers in; status, headers and JSON out."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from sandbox import generic
from sandbox.check import check_form, check_object, check_value, coerce
from sandbox.errors import StripeError, from_problem
from sandbox.expand import expand
from sandbox.faults import Fault
from sandbox.idempotency import Answer
from sandbox.registry import Call, handler_for, undocumented_for
from sandbox.schema import API_VERSION, find_route
from sandbox.shapes import copy
from sandbox.store import random_text

if TYPE_CHECKING:
    from sandbox.world import Sandbox

TEST_KEY = re.compile(r"(sk|rk)_test_\w+\Z")
LIVE_KEY = re.compile(r"\w+_live_")
BRACKETS = re.compile(r"\[([^\]]*)\]")


class ConnectionLost(Exception):
    """A fault took the connection away; the transport is to break it."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]

    @classmethod
    def parse(cls, method: str, url: str, body: str, headers: dict[str, str]) -> Request:
        parts = urlsplit(url)
        lowered = {name.lower(): value for name, value in headers.items()}
        return cls(method.upper(), parts.path, parts.query, body or "", lowered)

    @property
    def key(self) -> str | None:
        """Only POST has idempotency keys: GET and DELETE are idempotent by themselves."""
        return self.headers.get("idempotency-key") if self.method == "POST" else None

    @property
    def account(self) -> str:
        return self.headers.get("stripe-account", "")


def respond(sandbox: Sandbox, request: Request) -> Response:
    """Answer one request; raises ConnectionLost where a fault says so."""
    faults = sandbox.faults.draw(request.method, request.path)
    if "reset_before" in faults:
        raise ConnectionLost
    if "latency" in faults:
        faults["latency"].wait()
    request_id = f"req_{random_text(14)}"
    try:
        authenticate(request.headers)
        if "rate_limit" in faults:
            raise StripeError(429, "Request rate limit exceeded.", code="rate_limit")
        if "refused" in faults:
            raise StripeError(400, "This request is refused on purpose.")
        answer, is_replayed = _once(sandbox, request, request_id, faults)
    except StripeError as refusal:
        answer, is_replayed = _refused(refusal, request_id), False
    if "slow_snapshot" in faults:
        faults["slow_snapshot"].wait()
    if "reset_after" in faults:
        raise ConnectionLost
    return _response(request, answer, request_id, is_replayed)


def authenticate(headers: dict[str, str]) -> None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme == "Basic":
        scheme, key = "Bearer", _user_of(key)
    if LIVE_KEY.match(key):
        message = "This is Latchkey's sandbox, not Stripe: it refuses live keys. Roll this key, "
        raise StripeError(401, message + "then use one that begins with sk_test_.")
    if scheme != "Bearer" or not TEST_KEY.match(key):
        message = "You did not provide an API key. You need to provide your API key in the "
        raise StripeError(401, message + "Authorization header, using Bearer auth (sk_test_...).")


def _user_of(basic: str) -> str:
    try:
        return base64.b64decode(basic).decode().partition(":")[0]
    except ValueError:
        return ""


def _once(
    sandbox: Sandbox, request: Request, request_id: str, faults: dict[str, Fault]
) -> tuple[Answer, bool]:
    """Execute, or repeat what the first request with this idempotency key got."""
    call = read_call(sandbox, request)
    if request.key is None:
        return _execute(call, request_id, faults)[0], False
    wish = (f"{request.path}", json.dumps(_sorted_form(request)))
    at = sandbox.clock.now()
    saved = sandbox.idempotency.begin(request.key, account=request.account, request=wish, at=at)
    if saved:
        return saved, True
    is_saved = False
    try:
        answer, is_saved = _execute(call, request_id, faults)
        if is_saved:
            sandbox.idempotency.finish(request.key, account=request.account, answer=answer)
    finally:
        if not is_saved:
            sandbox.idempotency.forget(request.key, account=request.account)
    return answer, False


def _sorted_form(request: Request) -> list[tuple[str, str]]:
    return sorted(parse_qsl(request.query + "&" + request.body, keep_blank_values=True))


def read_call(sandbox: Sandbox, request: Request) -> Call:
    """Find the documented call and check its parameters at every depth."""
    tree = _tree(request)
    asked = tree.get("expand", [])
    found = find_route(request.method, request.path)
    if found is None or undocumented_for(request.method, request.path):
        return _undocumented_call(sandbox, request, tree, asked)
    route, ids = found
    is_json = "json" in request.headers.get("content-type", "")
    problems = check_value(tree, route.params) if is_json else check_form(tree, route.params)
    if problems:
        raise from_problem(problems[0])
    params = tree if is_json else coerce(tree, route.params)
    paths = list(params.pop("expand", []))
    return Call(
        sandbox, request.method, request.path, route.template, ids, params, paths, route,
        request.headers,
    )  # fmt: skip


def _undocumented_call(sandbox: Sandbox, request: Request, tree: dict, asked: Any) -> Call:
    known = undocumented_for(request.method, request.path)
    if known is None:
        message = f"Unrecognized request URL ({request.method}: {request.path})."
        raise StripeError(404, message)
    template, _, ids = known
    params = {key: value for key, value in tree.items() if key != "expand"}
    paths = asked if isinstance(asked, list) else list(asked.values())
    return Call(sandbox, request.method, request.path, template, ids, params, paths)


def _tree(request: Request) -> dict[str, Any]:
    if "json" in request.headers.get("content-type", "") and request.body:
        try:
            return dict(json.loads(request.body))
        except ValueError:
            raise StripeError(400, "Invalid JSON in the request body.") from None
    return decode_form("&".join(filter(None, (request.query, request.body))))


def decode_form(text: str) -> dict[str, Any]:
    """items[0][price]=p&expand[]=a -> {"items": {"0": {"price": "p"}}, "expand": ["a"]}"""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *parents, last = [name.split("[", 1)[0], *BRACKETS.findall(name)]
        is_item = last == "" and bool(parents)
        node: Any = tree
        for part in parents[:-1] if is_item else parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise StripeError(400, f"Invalid object: {name}", param=name)
        if is_item:
            items = node.setdefault(parents[-1], [])
            if not isinstance(items, list):
                raise StripeError(400, f"Invalid array: {name}", param=name)
            items.append(value)
        else:
            node[last] = value
    return tree


def _execute(call: Call, request_id: str, faults: dict[str, Fault]) -> tuple[Answer, bool]:
    """The answer, and whether Stripe would keep it under the idempotency key."""
    if "server_error" in faults:
        return _broken(request_id), True
    try:
        body = _run(call, request_id)
    except StripeError as refusal:
        return _refused(refusal, request_id), refusal.is_saved
    if "server_error_after" in faults:
        return _broken(request_id), True
    if "empty_list" in faults and body.get("object") == "list":
        body.update(data=[], has_more=False)
    return Answer(200, json.dumps(body), request_id), True


def _run(call: Call, request_id: str) -> dict[str, Any]:
    sandbox = call.sandbox
    undocumented = undocumented_for(call.method, call.path)
    handler = undocumented[1] if undocumented else handler_for(call.method, call.template)
    with sandbox.store.lock:
        sandbox.events.cause = (request_id, call.headers.get("idempotency-key"))
        try:
            answer = copy((handler or generic.handle)(call))
        finally:
            sandbox.events.cause = None
        sandbox.counters.record(route=f"{call.method} {call.template}", params=call.params)
        if sandbox.verify and answer.get("object") and not undocumented:
            problems = check_object(answer)
            if problems:
                raise AssertionError(f"{call.method} {call.path}: {problems[0]}")
        expanded: dict[str, Any] = expand(sandbox, answer, call.expand)
        return expanded


def _broken(request_id: str) -> Answer:
    message = "An unknown error occurred (made by a fault of the sandbox)."
    return _refused(StripeError(500, message, type="api_error"), request_id)


def _refused(refusal: StripeError, request_id: str) -> Answer:
    error = copy(refusal.error)
    log = f"https://dashboard.stripe.com/test/logs/{request_id}"
    return Answer(
        refusal.status, json.dumps({"error": {**error, "request_log_url": log}}), request_id
    )


def _response(request: Request, answer: Answer, request_id: str, is_replayed: bool) -> Response:
    headers = {
        "Content-Type": "application/json",
        "Request-Id": request_id,
        "Stripe-Version": API_VERSION,
    }
    if request.key:
        headers["Idempotency-Key"] = request.key
    if is_replayed:
        headers["Idempotent-Replayed"] = "true"
        headers["Original-Request"] = answer.request_id
    return Response(answer.status, headers, answer.body)
