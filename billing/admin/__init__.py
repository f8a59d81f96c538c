"""What staff see and do: consumers, what they paid, what Stripe told us."""

from billing.admin import consumers, grants, inbox, mirror, refunds, replays, sales, watch

__all__ = [
    "consumers",
    "grants",
    "inbox",
    "mirror",
    "refunds",
    "replays",
    "sales",
    "watch",
]
