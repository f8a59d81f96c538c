"""Lets stripe-python talk to a sandbox in the same process, without a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import stripe

from sandbox.api import ConnectionLost

if TYPE_CHECKING:
    from sandbox.world import Sandbox


class InProcessClient(stripe.HTTPClient):
    """`StripeClient(key, http_client=sandbox.http_client())`."""

    name = "sandbox"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(verify_ssl_certs=False)
        self._sandbox = sandbox

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, dict[str, str]]:
        body = post_data.decode() if isinstance(post_data, bytes) else post_data or ""
        try:
            answer = self._sandbox.request(method, url, body, dict(headers or {}))
        except ConnectionLost:
            message = "Unexpected error communicating with Stripe: connection reset by peer."
            raise stripe.APIConnectionError(message, should_retry=True) from None
        # stripe-python looks headers up in lower case, as its own clients give them.
        return answer.body, answer.status, CaseInsensitive(answer.headers)

    def close(self) -> None:
        """Nothing is open."""


class CaseInsensitive(dict[str, str]):
    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)
