"""Column types that Django has no name for, and defaults that migrations name."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Func

if TYPE_CHECKING:
    IntegerLike = models.Field[int, int]
else:
    IntegerLike = models.Field


class TransactionId(IntegerLike):
    """The transaction that wrote the row (xid8): grows for ever, unlike the 32-bit xid."""

    description = "64-bit transaction id"

    def db_type(self, connection: Any) -> str:
        return "xid8"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> int | None:
        return None if value is None else int(value)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else str(value)


class CurrentTransaction(Func):
    function = "pg_current_xact_id"
    arity = 0


def quantity_field(**options: Any) -> "models.DecimalField[Any, Any]":
    """An amount of usage: whole units or parts of them, never money."""
    return models.DecimalField(max_digits=38, decimal_places=12, **options)


def sum_field(**options: Any) -> "models.DecimalField[Any, Any]":
    """What amounts of usage add up to: wide enough for 10**12 of the largest."""
    return models.DecimalField(max_digits=50, decimal_places=12, **options)


def usual_thresholds() -> list[int]:
    """At which percentages of a limit somebody is warned unless the meter says otherwise."""
    return [80, 100]
