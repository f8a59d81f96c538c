"""Filters of the admin's lists."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RangeDateFilter


class DayFilter(RangeDateFilter):
    """From one day to another, both included, in UTC. Unfold's own compares with naive instants."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first = _midnight(self.used_parameters.get(f"{self.parameter_name}_from"))
        last = _midnight(self.used_parameters.get(f"{self.parameter_name}_to"))
        if first is not None:
            queryset = queryset.filter(**{f"{self.parameter_name}__gte": first})
        if last is not None:
            after = last + timedelta(days=1)
            queryset = queryset.filter(**{f"{self.parameter_name}__lt": after})
        return queryset


def _midnight(text: object) -> datetime | None:
    """The start of a day as typed; None for what is no day."""
    try:
        return datetime.combine(date.fromisoformat(str(text)), time(), UTC)
    except ValueError:
        return None
