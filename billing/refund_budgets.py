"""What a role may give back per month: taken with the request, given back when it comes to nothing.

Of several roles that may refund, the most generous counts; a role without a budget has no cap.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import F, QuerySet

from billing.models import RefundBudget, RefundBudgetUse, RefundRequest
from billing.money import shown
from config.errors import Conflict
from keystore.models import Project

APPS = "Apps"  # a role that nobody holds: its budgets are those of the apps


class BudgetSpent(Conflict):
    """No role of the person has that much left this month."""

    code = "refund_budget_spent"


@dataclass(frozen=True)
class Room:
    """What one budget still allows in the month."""

    budget: RefundBudget
    left_minor: int


def room_of(*, person: User, project: Project, currency: str, at: datetime) -> Room | None:
    """The most generous budget of the person's roles; None where no cap applies."""
    rooms = _rooms(person, project, currency, at)
    return max(rooms, key=lambda room: room.left_minor, default=None)


@transaction.atomic
def take_budget(
    *, person: User | None, project: Project, currency: str, amount_minor: int, at: datetime
) -> RefundBudgetUse | None:
    """Take the amount from the most generous budget; None where no cap applies. `person` None: an
    app asks, which spends the budget of the role "Apps".

    Raises BudgetSpent. One conditional update: many at once never take more than there is.
    """
    rooms = sorted(
        _rooms(person, project, currency, at), key=lambda room: room.left_minor, reverse=True
    )
    if not rooms:
        return None
    for room in rooms:
        use = _take(room.budget, amount_minor, at)
        if use is not None:
            return use
    most = rooms[0]
    left = shown(max(most.left_minor, 0), currency)
    raise BudgetSpent(
        f"Of this month's budget of {most.budget.role} {left} is left. Ask somebody whose role "
        "has more, or wait for the next month."
    )


def give_back_budget(request: RefundRequest) -> None:
    """The request came to nothing: its amount may be spent again. Safe to repeat; inside the
    transaction that ends the request.
    """
    released = RefundRequest.objects.filter(pk=request.pk, budget_use=request.budget_use_id)
    if request.budget_use_id and released.update(budget_use=None):
        RefundBudgetUse.objects.filter(pk=request.budget_use_id).update(
            used_minor=F("used_minor") - request.amount_minor
        )
        request.budget_use = None


def _rooms(person: User | None, project: Project, currency: str, at: datetime) -> list[Room]:
    """Empty: no cap. So it is for whoever holds a refunding role that has no budget."""
    roles = list(_refunding_roles(person))
    budgets = RefundBudget.objects.filter(project=project, currency=currency, role__in=roles)
    found = list(budgets.select_related("role"))
    if len(found) < len(roles):
        return []
    used = dict(
        RefundBudgetUse.objects.filter(budget__in=found, month=_month(at)).values_list(
            "budget_id", "used_minor"
        )
    )
    return [Room(budget, budget.monthly_minor - used.get(budget.pk, 0)) for budget in found]


def _refunding_roles(person: User | None) -> QuerySet[Group]:
    if person is None:
        return Group.objects.filter(name=APPS)
    return person.groups.filter(
        permissions__codename="refund_payment", permissions__content_type__app_label="billing"
    ).distinct()


def _take(budget: RefundBudget, amount_minor: int, at: datetime) -> RefundBudgetUse | None:
    use, _ = RefundBudgetUse.objects.get_or_create(
        budget=budget, month=_month(at), defaults={"cap_minor": budget.monthly_minor}
    )
    taken = RefundBudgetUse.objects.filter(
        pk=use.pk, used_minor__lte=budget.monthly_minor - amount_minor
    ).update(used_minor=F("used_minor") + amount_minor, cap_minor=budget.monthly_minor)
    return use if taken else None


def _month(at: datetime) -> date:
    return at.astimezone(UTC).date().replace(day=1)
