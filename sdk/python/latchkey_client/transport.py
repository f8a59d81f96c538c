"""Carries calls over HTTP, again where that is safe, and turns refusals into errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from latchkey_client.calls import Call
from latchkey_client.errors import Unreachable, error_of
from latchkey_client.policy import Retries

T = TypeVar("T")


class NotModified(Exception):
    """304: what was remembered still holds."""


class Transport:
    """Waits in this thread between tries."""

    def __init__(
        self,
        http: httpx.Client,
        retries: Retries,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.http = http
        self._retries = retries
        self._sleep = sleep

    def send(self, call: Call[T]) -> tuple[T, httpx.Headers]:
        tried = 0
        while True:
            tried += 1
            answer, problem = None, None
            try:
                answer = self.http.request(**_sent(call))
            except httpx.TransportError as error:
                problem = error
            wait = _wait(self._retries, tried, answer, problem)
            if wait is None:
                return _result(call, answer, problem)
            self._sleep(wait)


class AsyncTransport:
    """Lets others run between tries."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        retries: Retries,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.http = http
        self._retries = retries
        self._sleep = sleep

    async def send(self, call: Call[T]) -> tuple[T, httpx.Headers]:
        tried = 0
        while True:
            tried += 1
            answer, problem = None, None
            try:
                answer = await self.http.request(**_sent(call))
            except httpx.TransportError as error:
                problem = error
            wait = _wait(self._retries, tried, answer, problem)
            if wait is None:
                return _result(call, answer, problem)
            await self._sleep(wait)


def _sent(call: Call[Any]) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.path,
        "params": call.params or None,
        "json": call.body,
        "headers": call.headers,
    }


def _wait(
    retries: Retries,
    tried: int,
    answer: httpx.Response | None,
    problem: httpx.TransportError | None,
) -> float | None:
    if answer is None:
        # A request that cannot be sent as it is will not be sendable later either.
        hopeless = isinstance(problem, httpx.UnsupportedProtocol)
        return None if hopeless else retries.wait(tried, None, "", "")
    if answer.status_code < 400:
        return None
    told = _json(answer)
    code = told.get("code", "") if isinstance(told, dict) else ""
    return retries.wait(tried, answer.status_code, code, answer.headers.get("Retry-After", ""))


def _result(
    call: Call[T], answer: httpx.Response | None, problem: httpx.TransportError | None
) -> tuple[T, httpx.Headers]:
    if answer is None:
        raise Unreachable(f"{call.method} {call.path}: {problem}") from problem
    if answer.status_code == 304:
        raise NotModified
    told = _json(answer)
    if answer.status_code >= 500:
        raise Unreachable(f"{call.method} {call.path}: {answer.status_code}")
    # Refused events come with the list of all of them, so that single ones read like many.
    listed = isinstance(told, dict) and "events" in told
    if answer.status_code >= 400 and not listed:
        raise error_of(answer.status_code, told)
    try:
        return call.read(told), answer.headers
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreachable(f"{call.method} {call.path}: not an answer of Latchkey") from error


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text
