"""A price in words."""

from billing.models import Price
from billing.money import shown


def price_text(price: Price) -> str:
    """ "14.99 USD per month"."""
    many = f"{price.interval_count} {price.interval}s" if price.interval_count > 1 else ""
    every = f" per {many or price.interval}" if price.interval else ""
    return f"{shown(price.amount_minor, price.currency)}{every}"
