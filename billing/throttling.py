"""How often the public may ask what costs a call to Stripe."""

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from keystore import ratelimit
from keystore.addresses import remote_address

PER_MINUTE = 20


class PublicCheckoutThrottle(BaseThrottle):
    """By address, with the same exact limiter as keys."""

    def __init__(self) -> None:
        self._wait_seconds: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        verdict = ratelimit.take(
            subject=f"public-checkout:{remote_address(request.META)}",
            limit_per_minute=PER_MINUTE,
            burst=None,
        )
        self._wait_seconds = verdict.retry_after_seconds
        return verdict.allowed

    def wait(self) -> float | None:
        return self._wait_seconds
