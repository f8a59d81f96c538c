"""What staff see and do: consumers, what they paid, what Stripe told us."""

from billing.admin import consumers, inbox, mirror, sales

__all__ = ["consumers", "inbox", "mirror", "sales"]
