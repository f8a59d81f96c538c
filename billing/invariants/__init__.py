"""Promises that must hold in production, looked at every five minutes."""

from billing.invariants.registry import CHECKS, Check, Found, check_named
from billing.invariants.run import check_all

__all__ = ["CHECKS", "Check", "Found", "check_all", "check_named"]
