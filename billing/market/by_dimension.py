"""What an API earned, by a dimension of its usage: each sale by use is shared out as it was used.

Stripe bills a quantity, not what it was made of. So the money of one line is divided in proportion
to the usage of the period that the line bills, whatever its tiers; and what cannot be divided
stays in a row of its own that says why, so that the rows sum to the totals.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Any

from billing.market.reports import Asked, lines_of
from billing.market.split import Parts, shares
from billing.models import Earning, EarningKind
from metering.models import Meter
from metering.usage_split import ADDED_UP, Part, Used, usage_parts

FINEST = Decimal(10) ** 12  # quantities have twelve decimals
# Why money stays undivided.
FIXED_PRICE = "fixed_price"  # it was not paid by use
METER = "meter"  # maxima, latest and distinct values do not add up
DIMENSION = "dimension"  # the meter has no such dimension
PERIOD = "period"  # the period that was billed is not known
NO_USAGE = "no_usage"  # none is on record, or less than none
OTHER_API = "other_api"  # the same price billed usage of other APIs, or of none
REASONS = (FIXED_PRICE, METER, DIMENSION, PERIOD, NO_USAGE, OTHER_API)


@dataclass(frozen=True, order=True)
class Group:
    """A value of the dimension, or why there is none."""

    not_split: str
    value: str


@dataclass
class _Sums:
    sales_minor: int = 0
    taken_back_minor: int = 0
    parts: Parts = field(default_factory=Parts)

    def add(self, line: Earning, parts: Parts) -> None:
        if line.kind == EarningKind.SALE:
            self.sales_minor += parts.gross_minor
        else:
            self.taken_back_minor += parts.gross_minor
        self.parts += parts

    def told(self) -> dict[str, int]:
        return {
            "sales_minor": self.sales_minor,
            "taken_back_minor": self.taken_back_minor,
            "tax_minor": self.parts.tax_minor,
            "commission_minor": self.parts.commission_minor,
            "stripe_fee_minor": self.parts.stripe_fee_minor,
            "net_minor": self.parts.net_minor,
        }


def earned_by_dimension(
    asked: Asked, dimension: str, *, currency: str = ""
) -> Iterator[dict[str, Any]]:
    """Per value and currency; `not_split` says of the rows without one why they are not divided.

    A full refund takes from each value exactly what its sale gave, in whatever steps it came.
    """
    inside = set(lines_of(asked, currency).values_list("pk", flat=True))
    payments = lines_of(asked, currency).values("payment")
    rows = Earning.objects.filter(api=asked.api, payment__in=payments)
    rows = rows.select_related("price__meter").order_by("payment", "price", "pk")
    lines = list(rows)
    known = _usage(asked, lines, dimension)
    sums: dict[tuple[Group, str], _Sums] = defaultdict(_Sums)
    for _, found in groupby(lines, key=lambda line: (line.payment_id, line.price_id)):
        sold = list(found)
        for line, group, parts in divided(sold, _weights(sold[0], dimension, known)):
            if line.pk in inside:
                sums[group, line.currency].add(line, parts)
    for (group, of), total in sorted(sums.items(), key=lambda one: one[0]):
        yield {
            "group": group.value,
            "not_split": group.not_split,
            "currency": of,
            **total.told(),
        }


def divided(
    lines: list[Earning], weights: dict[Group, int]
) -> Iterator[tuple[Earning, Group, Parts]]:
    """Each line of one payment and price in its groups. What all lines so far come to is divided,
    and a line is what that changed: so parts of a line sum to the line, and nothing left is
    nothing for everybody.
    """
    so_far = Parts()
    before = dict.fromkeys(weights, Parts())
    for line in lines:
        so_far += Parts(
            line.gross_minor, line.tax_minor, line.commission_minor, line.stripe_fee_minor
        )
        columns = [shares(amount, list(weights.values())) for amount in astuple(so_far)]
        for group, *amounts in zip(weights, *columns, strict=True):
            now = Parts(*amounts)
            yield line, group, now - before[group]
            before[group] = now


# --- The usage that was billed -------------------------------------------------------------------


def _reason(sale: Earning, dimension: str) -> str:
    """Why the sale cannot be divided; "" if its usage decides."""
    meter = sale.price.meter if sale.price else None
    if meter is None:
        return FIXED_PRICE
    if meter.aggregation not in ADDED_UP:
        return METER
    if dimension not in meter.dimensions:
        return DIMENSION
    return PERIOD if _used(sale) is None else ""


def _used(sale: Earning) -> Used | None:
    if sale.consumer_id is None or sale.period_start is None or sale.period_end is None:
        return None
    return Used(sale.consumer_id, sale.period_start, sale.period_end)


def _usage(
    asked: Asked, lines: list[Earning], dimension: str
) -> dict[tuple[int, Used], list[Part]]:
    """By meter and span, one question for each meter."""
    spans: dict[Meter, dict[Used, None]] = defaultdict(dict)
    for line in lines:
        used = _used(line)
        if used is not None and line.price and line.price.meter and not _reason(line, dimension):
            spans[line.price.meter][used] = None
    return {
        (meter.pk, span): parts
        for meter, wanted in spans.items()
        for span, parts in usage_parts(
            meter=meter, api=asked.api, dimension=dimension, spans=list(wanted)
        ).items()
    }


def _weights(
    sale: Earning, dimension: str, known: dict[tuple[int, Used], list[Part]]
) -> dict[Group, int]:
    reason = _reason(sale, dimension)
    if reason:
        return {Group(reason, ""): 1}
    used = _used(sale)
    assert used is not None  # else there is a reason
    assert sale.price is not None
    found = known.get((sale.price.meter_id or 0, used), [])
    weights = {_group(part): int(part.quantity * FINEST) for part in found if part.quantity}
    if not weights or min(weights.values()) < 0:
        return {Group(NO_USAGE, ""): 1}
    return weights


def _group(part: Part) -> Group:
    return Group(OTHER_API, "") if part.value is None else Group("", part.value)
