"""Calls to Stripe: the only file that knows Stripe's client.

Everything goes in and comes out as plain dicts in the shapes of `settings.STRIPE_API_VERSION`.
A failure is told by what it means for us: surely nothing happened, refused, or unknown.
"""

import functools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
import stripe
from django.conf import settings
from django.db import transaction
from requests import exceptions as transport_errors

from billing.stripe_errors import count_error
from config.clock import now
from config.errors import DomainError, Unavailable

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
PAGE_SIZE = 100
# Requests of one process that may wait for Stripe together. Its web server has twice as many
# threads, so entitlements, keys and webhooks are answered while Stripe is slow.
MOST_WAITING = 8

Object = dict[str, Any]


class StripeUnavailable(Unavailable):
    """Surely nothing happened: not reached, rate limited, or a read that failed."""

    code = "stripe_unavailable"


class StripeMissing(DomainError):
    """Stripe does not know the object."""

    code = "stripe_object_missing"
    status = 404


class StripeRefused(DomainError):
    """Stripe understood and refused; the same request would be refused again."""

    code = "stripe_refused"
    status = 422


class OutcomeUnknown(Exception):
    """A write was sent and its answer was lost. `saved` is True for an answered 5xx, or where the
    key belongs to another call: Stripe repeats that answer for this idempotency key, so only a
    look at Stripe tells what happened.
    """

    def __init__(self, message: str, *, saved: bool) -> None:
        super().__init__(message)
        self.saved = saved


_deadline: ContextVar[float | None] = ContextVar("stripe_deadline", default=None)
_waiting = threading.BoundedSemaphore(MOST_WAITING)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """All calls inside share `seconds`; one that cannot start any more is StripeUnavailable, and
    so is, at once, a request beyond MOST_WAITING.
    """
    if not _waiting.acquire(blocking=False):
        raise StripeUnavailable("Many requests wait for Stripe already. Try again in a moment.")
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)
        _waiting.release()


def _seconds_left() -> float:
    until = _deadline.get()
    return READ_SECONDS if until is None else until - time.monotonic()


class BoundedClient(stripe.RequestsClient):
    """Never waits longer than the caller's deadline allows."""

    @property
    def _timeout(self) -> tuple[float, float]:
        left = max(_seconds_left(), 0.05)
        return min(CONNECT_SECONDS, left), min(READ_SECONDS, left)

    @_timeout.setter
    def _timeout(self, value: object) -> None:
        """The parent's constructor sets a fixed timeout; ours depends on the caller."""


class Unparsed(stripe.HTTPClient):
    """Passes on what another transport answers, with the text of a success beside it.

    The library parses every answer into ordered dicts, which we would throw away: for a page of
    a hundred objects that costs five times as much as parsing its text once.
    """

    name = "unparsed"
    TEXT = "latchkey-text"  # among the headers, which the library hands through as they are

    def __init__(self, transport: stripe.HTTPClient) -> None:
        super().__init__()
        self._transport = transport

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        **_: Any,
    ) -> tuple[str, int, Mapping[str, str]]:
        text, status, answered = self._transport.request(method, url, headers or {}, post_data)
        if 200 <= status < 300:
            return "{}", status, {**answered, self.TEXT: text}
        return text, status, answered

    def close(self) -> None:
        self._transport.close()  # type: ignore[no-untyped-call]


_transport: stripe.HTTPClient | None = None


def connect(transport: stripe.HTTPClient | None) -> None:
    """Reach Stripe through another transport, such as the sandbox in this process."""
    global _transport
    _transport = transport
    _client.cache_clear()


@functools.lru_cache(maxsize=4)
def _client(secret_key: str, api_base: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        secret_key,
        stripe_version=settings.STRIPE_API_VERSION,
        base_addresses={"api": api_base, "meter_events": api_base, "connect": api_base},
        http_client=Unparsed(_transport or BoundedClient()),
        max_network_retries=0,  # operations and the inbox retry, after a look at Stripe
    )


def refuse_inside_transaction() -> None:
    """A transaction that waits for Stripe holds its locks as long as Stripe likes."""
    if transaction.get_connection().in_atomic_block:
        raise RuntimeError("No call to Stripe inside a transaction.")


def _send(method: str, path: str, params: Mapping[str, Any], **options: str) -> Object:
    if _seconds_left() <= 0:
        raise StripeUnavailable("Stripe did not answer in time. Try again in a moment.")
    client = _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)
    try:
        response = client.raw_request(method, path, **params, **options)
        return _parsed(response.headers[Unparsed.TEXT])
    except stripe.StripeError as problem:
        count_error(code=_code_of(problem), path=path, at=now())
        raise


def _parsed(text: str | bytes) -> Object:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as problem:
        raise stripe.APIError("Stripe's answer was cut off or is no JSON.") from problem
    assert isinstance(found, dict)
    return found


def _on_behalf_of(account: str) -> dict[str, str]:
    return {"stripe_account": account} if account else {}


def read(path: str, *, account: str = "", **params: Any) -> Object:
    """GET one object or one page; with `account`, of that connected account. StripeMissing if it
    is not there, else StripeUnavailable.
    """
    try:
        return _send("get", path, params, **_on_behalf_of(account))
    except stripe.InvalidRequestError as refusal:
        if refusal.code == "resource_missing" or refusal.http_status == 404:
            raise StripeMissing(f"Stripe has no {path}.") from refusal
        raise StripeRefused(_say(refusal), stripe_code=refusal.code) from refusal
    except stripe.StripeError as problem:
        raise StripeUnavailable(f"Stripe cannot be read at present: {_say(problem)}") from problem


def read_all(path: str, **params: Any) -> list[Object]:
    """Every object of a list, newest first, over all its pages."""
    return [found for page in read_pages(path, **params) for found in page]


def read_pages(path: str, **params: Any) -> Iterator[list[Object]]:
    """The same page by page, for lists that need not fit into memory."""
    while True:
        page = read(path, limit=PAGE_SIZE, **params)
        yield page["data"]
        if not page["has_more"]:
            return
        params["starting_after"] = page["data"][-1]["id"]


def ask(path: str, params: Mapping[str, Any]) -> Object:
    """A POST that only asks, such as a preview. Raises StripeUnavailable, StripeRefused."""
    try:
        return _send("post", path, params)
    except (stripe.CardError, stripe.InvalidRequestError) as refusal:
        raise StripeRefused(_say(refusal), stripe_code=refusal.code) from refusal
    except stripe.StripeError as problem:
        raise StripeUnavailable(f"Stripe cannot be asked at present: {_say(problem)}") from problem


def write(
    path: str,
    params: Mapping[str, Any],
    *,
    idempotency_key: str,
    method: str = "post",
    account: str = "",
) -> Object:
    """Change something at Stripe; with `account`, in that connected account. Raises
    StripeUnavailable (nothing happened), StripeRefused, or OutcomeUnknown.
    """
    options = {"idempotency_key": idempotency_key, **_on_behalf_of(account)}
    try:
        return _send(method, path, params, **options)
    except stripe.APIConnectionError as problem:
        if _surely_not_sent(problem):
            raise StripeUnavailable("Stripe cannot be reached. Nothing was changed.") from problem
        raise OutcomeUnknown(_say(problem), saved=False) from problem
    except (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError) as problem:
        raise StripeUnavailable(f"Stripe did not take the call: {_say(problem)}") from problem
    except (stripe.CardError, stripe.InvalidRequestError) as refusal:
        raise StripeRefused(_say(refusal), stripe_code=refusal.code) from refusal
    except stripe.IdempotencyError as problem:
        # 409: an earlier try of the same key is still running. Otherwise it was another call, such
        # as a try of an earlier release: what became of that one must be seen at Stripe, too.
        raise OutcomeUnknown(_say(problem), saved=problem.http_status != 409) from problem
    except stripe.StripeError as problem:
        raise OutcomeUnknown(_say(problem), saved=True) from problem


def _surely_not_sent(problem: stripe.APIConnectionError) -> bool:
    cause = problem.__cause__
    if isinstance(cause, transport_errors.ConnectTimeout):
        return True
    # requests wraps urllib3's NewConnectionError: the connection never came to be.
    return isinstance(cause, transport_errors.ConnectionError) and "NewConnection" in str(cause)


def _code_of(problem: stripe.StripeError) -> str:
    """Stripe's code, else the kind of error: "resource_missing", "RateLimitError"."""
    return problem.code or type(problem).__name__


def _say(problem: stripe.StripeError) -> str:
    return problem.user_message or str(problem) or type(problem).__name__


def signed_by(*, body: bytes, header: str, secret: str) -> bool:
    """Whether `secret` signed `body`, at whatever time the header says."""
    try:
        return bool(stripe.WebhookSignature.verify_header(body.decode("utf-8"), header, secret))
    except (stripe.SignatureVerificationError, UnicodeError, TypeError, ValueError):
        return False


# --- dj-stripe's way to Stripe ---


@dataclass
class Recording:
    """Objects already read, by path; and the addresses that were asked for in vain."""

    objects: dict[str, Object] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def answer(self, address: str) -> Object | None:
        """The object at the address: the same query first, then the same path."""
        parts = urlsplit(address)
        key = _normal(parts.path, parts.query)
        found = self.objects.get(key) or self.objects.get(parts.path)
        if found is None:
            self.missing.add(key)
        return found

    def read_ahead(self, addresses: set[str]) -> None:
        """Read what will be asked for."""
        self.missing |= addresses - self.objects.keys()
        self.fill()

    def fill(self) -> None:
        """Read what was asked for in vain. What Stripe does not have becomes its 404 answer."""
        for address in sorted(self.missing):
            parts = urlsplit(address)
            try:
                self.objects[address] = read(parts.path, **_as_params(parts.query))
            except StripeMissing:
                self.objects[address] = {"error": {"code": "resource_missing", "message": address}}
        self.missing.clear()


def _normal(path: str, query: str) -> str:
    pairs = sorted(parse_qsl(query))
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _as_params(query: str) -> dict[str, Any]:
    """expand[0]=a&limit=2 -> {"expand": ["a"], "limit": "2"}"""
    params: dict[str, Any] = {}
    for name, value in parse_qsl(query):
        if "[" in name:
            params.setdefault(name.split("[")[0], []).append(value)
        else:
            params[name] = value
    return params


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


class ReplayClient(stripe.HTTPClient):
    """Answers the library's global calls from a recording; never opens a connection.

    dj-stripe reads missing parents while it writes its mirror. Inside a transaction that must
    not reach the network, so it gets what was read before, and what it lacks is noted.
    """

    name = "replay"

    def request(
        self, method: str, url: str, headers: object, post_data: object = None, **_: object
    ) -> tuple[str, int, dict[str, str]]:
        recording = _recording.get()
        found = recording.answer(url) if recording and method.lower() == "get" else None
        if found is None:
            return json.dumps({"error": {"message": f"not recorded: {method} {url}"}}), 404, {}
        return json.dumps(found), 404 if "error" in found else 200, {}


@contextmanager
def replaying(recording: Recording) -> Iterator[None]:
    """The library's global calls inside see only the recording."""
    token = _recording.set(recording)
    try:
        yield
    finally:
        _recording.reset(token)


def install() -> None:
    """Cut the library's global way to the network; called once at start."""
    stripe.default_http_client = ReplayClient()
    stripe.api_version = settings.STRIPE_API_VERSION
    stripe.enable_telemetry = False
    stripe.max_network_retries = 0


def as_library_object(found: Object) -> stripe.StripeObject:
    """The library's object for a dict, as dj-stripe wants it."""
    return stripe.StripeObject.construct_from(found, settings.STRIPE_SECRET_KEY)
