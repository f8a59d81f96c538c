"""What consumers were promised: agreed prices and changes to come. To look at; the acts are on the
page of the subscription.
"""

from django.contrib import admin

from billing.admin.sales import CONSUMER_SEARCH, SaleAdmin
from billing.models import PriceOverride, ScheduledChange
from billing.money import shown
from keystore.admin.filters import DayFilter


@admin.register(PriceOverride)
class PriceOverrideAdmin(SaleAdmin):
    list_display = ("public_id", "who", "price", "amount", "project", "created_at", "ended_at")
    list_filter = ("project", ("ended_at", admin.EmptyFieldListFilter), ("created_at", DayFilter))
    list_select_related = ("consumer", "project", "price")
    search_fields = ("public_id", "price__stripe_price_id", *CONSUMER_SEARCH)
    ordering = ("-created_at",)

    @admin.display(description="amount")
    def amount(self, row: PriceOverride) -> str:
        return shown(row.amount_minor, row.price.currency)


@admin.register(ScheduledChange)
class ScheduledChangeAdmin(SaleAdmin):
    list_display = (
        "public_id",
        "subscription",
        "price",
        "status_label",
        "due_at",
        "project",
        "finished_at",
    )
    list_filter = ("project", "state", ("due_at", DayFilter))
    list_select_related = ("subscription", "project", "price")
    search_fields = ("public_id", "subscription__stripe_subscription_id")
    masked_names: dict[str, str] = {}
    ordering = ("-due_at",)
