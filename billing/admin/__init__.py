"""What staff see and do: consumers, what they paid, what Stripe told us."""

from billing.admin import (
    consumers,
    creators,
    drifts,
    dunning,
    dunning_texts,
    grants,
    inbox,
    mirror,
    promises,
    reconciliation,
    refunds,
    replays,
    sales,
    usage,
    watch,
)

__all__ = [
    "consumers",
    "creators",
    "drifts",
    "dunning",
    "dunning_texts",
    "grants",
    "inbox",
    "mirror",
    "promises",
    "reconciliation",
    "refunds",
    "replays",
    "sales",
    "usage",
    "watch",
]
