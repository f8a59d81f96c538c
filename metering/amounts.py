"""Amounts of usage in JSON: whole numbers as such, others as decimals."""

from decimal import Decimal


def shown(amount: Decimal | None) -> int | float | None:
    """A number for callers. None stays None: unlimited."""
    if amount is None:
        return None
    return int(amount) if amount == amount.to_integral_value() else float(amount)
