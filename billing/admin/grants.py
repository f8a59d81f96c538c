"""Grants with what they are worth, and whether who got them became a paying customer."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from unfold.decorators import display
from unfold.views import ChangeList as UnfoldChangeList

from billing.grant_value import worths_of
from config.clock import now
from entitlements.admin import GrantAdmin
from entitlements.models import Grant


class GrantChangeList(UnfoldChangeList):
    """Reads what the grants of the page are worth together, not one by one."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        worths = worths_of(grants=rows, at=now())
        for row in rows:
            row.worth = worths[row.pk]
        self.result_list = rows


@admin.register(Grant)
class ValuedGrantAdmin(GrantAdmin):
    list_display = (*GrantAdmin.list_display, "value", "became_paid")
    fields = (*GrantAdmin.fields, "value", "became_paid")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return GrantChangeList

    @display(description="value")
    def value(self, grant: Grant) -> str:
        return str(_worth(grant).value)

    @display(description="became paid?")
    def became_paid(self, grant: Grant) -> str:
        return str(_worth(grant).became_paid)


def _worth(grant: Any) -> Any:
    """As the list read it; one row's own page asks for itself."""
    if not hasattr(grant, "worth"):
        grant.worth = worths_of(grants=[grant], at=now())[grant.pk]
    return grant.worth
