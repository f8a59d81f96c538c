"""Rows that came straight through libpq, as the models that they are: for reading only."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

Row = TypeVar("Row", bound=models.Model)


def columns_of(model: type[models.Model], alias: str) -> str:
    """Every column of the model, for a SELECT whose rows `instance_of` reads."""
    return ", ".join(_selected(field, alias) for field in model._meta.concrete_fields)


def instance_of(model: type[Row], texts: Sequence[str | None]) -> Row | None:
    """The object of these texts; None when an outer join found none."""
    names, readers = _shape(model)
    values = [
        None if text is None else read(text) for read, text in zip(readers, texts, strict=True)
    ]
    if values[0] is None:
        return None
    return model.from_db("default", names, values)


def width_of(model: type[models.Model]) -> int:
    return len(model._meta.concrete_fields)


@cache
def _shape(model: type[models.Model]) -> tuple[list[str], list[Callable[[str], Any]]]:
    """The model's columns by name, and what reads each of them."""
    fields = model._meta.concrete_fields
    names = [field.attname for field in fields]
    return names, [_READERS.get(_kind(field), str) for field in fields]


def _selected(field: Any, alias: str) -> str:
    column = f'{alias}."{field.column}"'
    return f"array_to_json({column})" if isinstance(field, ArrayField) else column


def _kind(field: Any) -> str:
    target = field.target_field if field.is_relation else field
    return str(target.get_internal_type())


_READERS: dict[str, Callable[[str], Any]] = {
    "BigAutoField": int,
    "BigIntegerField": int,
    "IntegerField": int,
    "PositiveIntegerField": int,
    "BooleanField": lambda text: text == "t",
    "DateTimeField": datetime.fromisoformat,
    "JSONField": json.loads,
    "ArrayField": json.loads,
}
