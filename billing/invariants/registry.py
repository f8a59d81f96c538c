"""All promises, in the order in which they are shown."""

from billing.invariants import access, machine, market, money, quotas, usage
from billing.invariants.found import Check, Found

__all__ = ["CHECKS", "Check", "Found", "check_named"]

CHECKS: tuple[Check, ...] = (
    *money.CHECKS,
    *market.CHECKS,
    *access.CHECKS,
    *quotas.CHECKS,
    *machine.CHECKS,
    *usage.CHECKS,
)


def check_named(code: str) -> Check | None:
    return next((check for check in CHECKS if check.code == code), None)
