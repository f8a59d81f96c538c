"""The page of a plan, with what it is sold for in each currency."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline

from billing.models import Price
from billing.prices import price_text
from entitlements.admin.catalog import PlanAdmin
from entitlements.models import Plan


class PricesInline(TabularInline):
    """Made by the catalogue file, so that Stripe and we say the same: here to look at."""

    model = Price
    fields = ("stripe_price_id", "currency", "costs", "tax_behavior", "trial_days", "active")
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True
    verbose_name_plural = "prices by currency"
    ordering = ("-active", "currency", "amount_minor")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        found: QuerySet[Price] = super().get_queryset(request)
        return found.filter(only_for=None).select_related("meter")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="costs")
    def costs(self, price: Price) -> str:
        return price_text(price)


class PlanWithPrices(PlanAdmin):
    inlines: Any = (*PlanAdmin.inlines, PricesInline)


admin.site.unregister(Plan)
admin.site.register(Plan, PlanWithPrices)
