"""How much money is overdue, and how much came in after all; per currency, never added up."""

from django.db.models import Count, F, Sum
from django.db.models.functions import Coalesce

from billing.figures import Days
from billing.models import CourseEnd, CourseState, DunningCourse
from keystore.models import Project

Line = tuple[str, int, int]  # currency, amount, invoices


def overdue_of(*, project: Project | None) -> list[Line]:
    """What open courses are about, now."""
    return _lines(project, state__in=(CourseState.RUNNING, CourseState.PAUSED))


def recovered_of(*, project: Project | None, days: Days) -> list[Line]:
    """What was paid in these days after its payment had failed."""
    return _lines(
        project,
        outcome=CourseEnd.PAID,
        closed_at__date__gte=days.first,
        closed_at__date__lte=days.last,
    )


def _lines(project: Project | None, **where: object) -> list[Line]:
    rows = DunningCourse.objects.filter(**where)
    if project is not None:
        rows = rows.filter(project=project)
    is_paid = "outcome" in where
    left = F("invoice__total_minor") - F("invoice__paid_minor")
    amount = F("invoice__paid_minor") if is_paid else Coalesce("invoice__remaining_minor", left)
    found = rows.values("invoice__currency").annotate(amount=Sum(amount), number=Count("pk"))
    return [
        (row["invoice__currency"], row["amount"], row["number"])
        for row in found.order_by("invoice__currency")
    ]
