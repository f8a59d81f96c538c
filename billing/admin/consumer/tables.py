"""A section's table: cells, the acts of each row, and where the rest of the rows is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from keystore.models import Consumer

NEWEST = 10
Cells = list[Any]


@dataclass(frozen=True)
class Act:
    """A button of a row. `dialog`: it opens over the page; otherwise it leads to one of its own."""

    label: str
    url: str
    dialog: bool = True
    danger: bool = False


@dataclass(frozen=True)
class Row:
    cells: list[tuple[str, Any]]  # with their headers: on a phone each cell is a line of its own
    acts: Sequence[Act] = ()


@dataclass(frozen=True)
class Table:
    """`total` counts all rows, `all_url` lists them; "" when nothing is left out."""

    headers: list[str]
    rows: list[Row]
    empty: str = "None."
    total: int = 0
    all_url: str = ""

    @property
    def has_acts(self) -> bool:
        return any(row.acts for row in self.rows)


@dataclass(frozen=True)
class Section:
    """One titled part of the page, reached by its anchor. `acts` concern it as a whole."""

    anchor: str
    title: str
    table: Table | None = None
    acts: Sequence[Act] = ()
    intro: str = ""
    short: str = ""  # the title in the list of sections; "": the title itself
    template: str = "admin/consumer/table.html"
    extra: dict[str, Any] = field(default_factory=dict)


def newest(
    *,
    consumer: Consumer,
    rows: QuerySet[Any],
    headers: list[str],
    cells: Callable[[Any], Cells],
    acts: Callable[[Any], Sequence[Act]] | None = None,
    empty: str = "None.",
) -> Table:
    """The newest rows of a query that belongs to the consumer, and where all of them are."""
    found = list(rows[: NEWEST + 1])
    total = rows.count() if len(found) > NEWEST else len(found)
    shown = [
        Row(list(zip(headers, cells(row), strict=True)), acts(row) if acts else ())
        for row in found[:NEWEST]
    ]
    rest = list_url(rows.model, consumer) if total > NEWEST else ""
    return Table(headers, shown, empty, total, rest)


def made(headers: list[str], lines: Iterable[Cells], *, empty: str) -> Table:
    """A table of cells that are no rows of a database table."""
    rows = [Row(list(zip(headers, line, strict=True))) for line in lines]
    return Table(headers, rows, empty, len(rows))


def list_url(model: type[Model], consumer: Consumer) -> str:
    """The list of the table, narrowed to the consumer."""
    options = model._meta
    page = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    return f"{page}?{urlencode({'q': consumer.public_id})}"


def link(row: Model, text: str = "") -> str:
    return format_html('<a class="text-link" href="{}">{}</a>', url_of(row), text or str(row))


def url_of(row: Model) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk])


def outside(url: str, text: str) -> str:
    """A link away from here, if it is one that a browser may follow."""
    if not url.startswith(("https://", "http://")):
        return ""
    return format_html(
        '<a class="text-link" href="{}" rel="noopener noreferrer" target="_blank">{}</a>', url, text
    )


def day(instant: datetime | None) -> str:
    if instant is None:
        return ""
    return format_html('<span class="whitespace-nowrap">{}</span>', text_of(instant))


def span(start: datetime, end: datetime | None, note: str = "") -> str:
    until = day(end) or "no end"
    if note:
        return format_html("<div>{}</div><div>{}</div><div>{}</div>", day(start), until, note)
    return format_html("<div>{}</div><div>{}</div>", day(start), until)


def text_of(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


def lines(said: Iterable[str]) -> str:
    return format_html_join("", "<div>{}</div>", ((line,) for line in said))


def label(text: str, kind: str = "") -> str:
    """A word in a coloured box; `kind` is success, warning, danger, info or ""."""
    return format_html('<span class="state" data-kind="{}">{}</span>', kind, text)
