"""Days, money and prices as people write them in the language of the page."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.dateformat import format as written
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import Price
from billing.money import decimals_of


def day(instant: datetime) -> str:
    """ "1 April 2026", "1. April 2026"."""
    # Translators: how a day is written, in Django's date format
    return written(instant, _("j F Y"))


def money(amount_minor: int, currency: str) -> str:
    """ "1,499.00 USD", "1.499,00 USD"."""
    decimals = decimals_of(currency)
    amount = number_format(
        Decimal(amount_minor).scaleb(-decimals), decimals, use_l10n=True, force_grouping=True
    )
    return f"{amount} {currency.upper()}"


def number(amount: Decimal | int) -> str:
    """ "10,000", "10.000"; parts only where there are any."""
    plain = Decimal(amount).normalize()
    places = max(0, -int(plain.as_tuple().exponent))
    return number_format(plain, places, use_l10n=True, force_grouping=True)


def per_month(amount_minor: int, currency: str) -> str:
    told = {"amount": money(amount_minor, currency), "count": 1}
    return ngettext("%(amount)s per month", "%(amount)s for %(count)s months", 1) % told


def price(of: Price) -> str:
    """ "14.99 USD per month", "30.00 USD for 3 months"."""
    amount, count = money(of.amount_minor, of.currency), of.interval_count
    told = {"amount": amount, "count": count}
    if of.interval == "month":
        return ngettext("%(amount)s per month", "%(amount)s for %(count)s months", count) % told
    if of.interval == "year":
        return ngettext("%(amount)s per year", "%(amount)s for %(count)s years", count) % told
    if of.interval == "week":
        return ngettext("%(amount)s per week", "%(amount)s for %(count)s weeks", count) % told
    if of.interval == "day":
        return ngettext("%(amount)s per day", "%(amount)s for %(count)s days", count) % told
    return amount


def discount(told: Mapping[str, Any]) -> str:
    """ "20 % off until 1 April 2026", "5.00 USD off the next invoice"."""
    percent = told["percent_off"]
    off = (
        f"{number(Decimal(percent))} %"
        if percent is not None
        else money(told["amount_off_minor"] or 0, told["currency"])
    )
    if told["ends_at"]:
        until = day(datetime.fromisoformat(told["ends_at"]))
        return _("%(off)s off until %(day)s") % {"off": off, "day": until}
    if told["duration"] == "once":
        return _("%(off)s off the next invoice") % {"off": off}
    return _("%(off)s off") % {"off": off}
