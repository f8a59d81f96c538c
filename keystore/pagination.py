"""Lists a page at a time, newest first, by a cursor that stays right while rows are added."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models

from config.errors import InvalidInput

USUAL_LIMIT = 20
LARGEST_LIMIT = 100


@dataclass(frozen=True)
class Page:
    rows: list[Any]
    next_cursor: str | None  # None: this is the last page

    def body(self, shown: list[Any]) -> dict[str, Any]:
        """The answer that holds `shown`, the rows as the API shows them."""
        return {
            "data": shown,
            "next_cursor": self.next_cursor,
            "has_more": self.next_cursor is not None,
        }


def page_of(
    queryset: models.QuerySet[Any], query: Mapping[str, str], *, by: str = "public_id"
) -> Page:
    """The page that `?limit=` (1 to 100) and `?cursor=` ask for; the cursor is a row's public id,
    or its `by`.

    The queryset is the caller's own: a cursor out of another project is unknown here.
    """
    limit = _limit(query.get("limit", ""))
    rows = queryset.order_by("-pk")
    if cursor := query.get("cursor", ""):
        rows = rows.filter(pk__lt=_start(queryset, cursor, by))
    found = list(rows[: limit + 1])
    page = found[:limit]
    return Page(page, getattr(page[-1], by) if len(found) > limit else None)


def _limit(text: str) -> int:
    if not text:
        return USUAL_LIMIT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= LARGEST_LIMIT):
        raise InvalidInput(
            f"limit must be a number from 1 to {LARGEST_LIMIT}.",
            errors=[_wrong("limit", f"Send 1 to {LARGEST_LIMIT}, or leave it out.")],
        )
    return int(text)


def _start(queryset: models.QuerySet[Any], cursor: str, by: str) -> int:
    known = queryset.filter(**{by: cursor}) if "\x00" not in cursor else queryset.none()
    pk = known.order_by().values_list("pk", flat=True).first()
    if pk is None:
        raise InvalidInput(
            "This cursor is not known: start again without one.",
            errors=[_wrong("cursor", "Send the next_cursor of the page before.")],
        )
    return int(pk)


def _wrong(field: str, fix: str) -> dict[str, str]:
    return {"location": f"query.{field}", "message": f"{field} is not usable.", "fix": fix}
