"""What a check of a promise says: how many break it, and some of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet

MOST_EXAMPLES = 10

Example = dict[str, str]  # object, detail, model ("billing.payment") and pk for a link


@dataclass(frozen=True)
class Found:
    number: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """One promise. `title` says what must hold, `advice` what to do when it does not."""

    code: str
    title: str
    advice: str
    find: Callable[[datetime], Found]


def found_rows(rows: QuerySet[Any], detail: Callable[[Any], str]) -> Found:
    """Each of these rows breaks the promise."""
    examples = [example_of(row, detail(row)) for row in rows[:MOST_EXAMPLES]]
    return Found(rows.count() if len(examples) == MOST_EXAMPLES else len(examples), examples)


def found_list(examples: list[Example]) -> Found:
    return Found(len(examples), examples[:MOST_EXAMPLES])


def example_of(row: Model, detail: str) -> Example:
    return {"object": str(row), "detail": detail, "model": row._meta.label_lower, "pk": str(row.pk)}
