"""What staff see of usage: balances, packs of credits, and what holds while nobody answers."""

from metering.admin import policies, quotas

__all__ = ["policies", "quotas"]
