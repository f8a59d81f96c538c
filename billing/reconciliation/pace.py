"""Asking Stripe slowly: a bucket of tokens well below its rate limit, and patience with it."""

import random
import time
from typing import Any

from django.conf import settings

from billing import gateway

NAPS = (0.2, 0.5, 1.0)  # seconds between tries; a longer outage is waited for between slices


class Pace:
    """At most `per_second` reads, counted over this process. Bursts of a second are allowed."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.reads = 0
        self._tokens = per_second
        self._filled_at = time.monotonic()

    def wait(self) -> None:
        """Return when the next read may be sent."""
        while (missing := 1 - self._refill()) > 0:
            time.sleep(missing / self.per_second)
        self._tokens -= 1
        self.reads += 1

    def _refill(self) -> float:
        at = time.monotonic()
        gained = (at - self._filled_at) * self.per_second
        self._tokens = min(self.per_second, self._tokens + gained)
        self._filled_at = at
        return self._tokens

    def read(self, path: str, **params: Any) -> gateway.Object:
        """GET, tried again a few times when Stripe is busy or away. Raises as `gateway.read`."""
        gateway.refuse_inside_transaction()
        for nap in NAPS:
            self.wait()
            try:
                return gateway.read(path, **params)
            except gateway.StripeUnavailable:
                time.sleep(nap * random.uniform(0.5, 1.5))
        self.wait()
        return gateway.read(path, **params)

    def read_all(self, path: str, **params: Any) -> list[gateway.Object]:
        """Every object of a short list."""
        found: list[gateway.Object] = []
        while True:
            page = self.read(path, limit=gateway.PAGE_SIZE, **params)
            found += page["data"]
            if not page["has_more"]:
                return found
            params["starting_after"] = page["data"][-1]["id"]


def usual_pace() -> Pace:
    return Pace(settings.RECONCILIATION_REQUESTS_PER_SECOND)
