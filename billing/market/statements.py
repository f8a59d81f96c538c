"""A creator's month: every line of the ledger, what it began with and what it ended with."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Sum
from django.http import HttpResponse
from django.template.loader import render_to_string

from billing.models import Creator, Earning
from billing.money import shown
from config.errors import InvalidInput
from keystore.csvfile import csv_lines
from metering.windows import MONTH, end_of

COLUMNS = (
    *("date", "kind", "api", "plan", "source", "currency", "gross_minor", "tax_minor"),
    *("commission_minor", "stripe_fee_minor", "amount_minor", "amount", "reason"),
)


@dataclass(frozen=True)
class Month:
    """[start, end) in UTC."""

    name: str
    start: datetime
    end: datetime


def month_named(text: str) -> Month:
    """ "2026-11". Raises InvalidInput."""
    try:
        start = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError as problem:
        raise InvalidInput("Name a month such as 2026-11.") from problem
    if f"{start:%Y-%m}" != text:
        raise InvalidInput("Name a month such as 2026-11.")
    return Month(text, start, end_of(MONTH, start))


def lines_of(creator: Creator, month: Month) -> Iterator[Earning]:
    rows = Earning.objects.select_related("api", "price__plan").filter(
        creator=creator, occurred_at__gte=month.start, occurred_at__lt=month.end
    )
    yield from rows.order_by("currency", "occurred_at", "pk").iterator()


def statement_csv(*, creator: Creator, month: Month) -> str:
    """Safe to open in a spreadsheet: nothing in it is computed."""
    return "".join(csv_lines([COLUMNS, *(_cells(line) for line in lines_of(creator, month))]))


def _cells(line: Earning) -> list[object]:
    return [
        *(line.occurred_at.date().isoformat(), line.kind),
        line.api.code if line.api else "",
        line.price.plan.code if line.price else "",
        *(line.source, line.currency, line.gross_minor, line.tax_minor),
        *(line.commission_minor, line.stripe_fee_minor, line.amount_minor),
        *(shown(line.amount_minor, line.currency), line.reason),
    ]


def statement_page(*, creator: Creator, month: Month) -> HttpResponse:
    """The same as a page to print."""
    context = {
        "creator": creator,
        "project": creator.project,
        "month": month.name,
        "lines": [_shown(line) for line in lines_of(creator, month)],
        "balances": _balances(creator, month),
    }
    page = render_to_string("billing/statement.html", context)
    return HttpResponse(page, headers={"Cache-Control": "no-store"})


def _shown(line: Earning) -> dict[str, Any]:
    kept = line.tax_minor + line.commission_minor + line.stripe_fee_minor
    return {
        "date": line.occurred_at.date(),
        "kind": line.get_kind_display(),
        "api": str(line.api or ""),
        "source": line.source,
        "gross": shown(line.gross_minor, line.currency) if line.payment_id else "",
        "kept": shown(-kept, line.currency) if line.payment_id else "",
        "amount": shown(line.amount_minor, line.currency),
    }


def _balances(creator: Creator, month: Month) -> list[dict[str, str]]:
    """Per currency what the month began and ended with."""
    before = _sums(creator, month.start)
    after = _sums(creator, month.end)
    return [
        {
            "currency": currency.upper(),
            "began": shown(before.get(currency, 0), currency),
            "ended": shown(amount, currency),
        }
        for currency, amount in sorted(after.items())
    ]


def _sums(creator: Creator, until: datetime) -> dict[str, int]:
    rows = Earning.objects.filter(creator=creator, occurred_at__lt=until).values_list("currency")
    return dict(rows.annotate(sum=Sum("amount_minor")))
