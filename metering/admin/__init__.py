"""What staff see: meters, balances, packs of credits, and what holds while nobody answers."""

from metering.admin import meters, policies, quotas

__all__ = ["meters", "policies", "quotas"]
