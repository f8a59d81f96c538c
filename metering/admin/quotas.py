"""Lists of what is left of limits and of credits. Nothing is changed here."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib import admin
from unfold.decorators import display

from config.clock import now
from keystore.admin.pages import ReadOnlyAdmin
from metering.amounts import shown
from metering.models import CreditPack, QuotaBalance

STATE_COLOURS = {"in use": "success", "spent": "info", "expired": "warning", "taken back": "danger"}


def words(amount: Decimal | None) -> str:
    """An amount for people; None is no limit."""
    return "unlimited" if amount is None else f"{shown(amount):,}"


def state_of(pack: CreditPack, at: datetime) -> str:
    """In one word whether the pack still pays."""
    if pack.revoked_at:
        return "taken back"
    if pack.expires_at and pack.expires_at <= at:
        return "expired"
    return "in use" if pack.remaining else "spent"


@admin.register(CreditPack)
class CreditPackAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "who", "meter", "left", "state", "source", "expires_at")
    list_filter = ("project", "source", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("consumer", "meter", "project")
    search_fields = ("public_id", "source_ref", "consumer__public_id", "consumer__external_id")
    search_help_text = "pack_ id, payment, consumer"
    ordering = ("-pk",)
    fields = (
        "public_id",
        "state",
        "project",
        "consumer",
        "meter",
        "left",
        "priority",
        "expires_at",
        "revoked_at",
        "source",
        "source_ref",
        "reason",
        "given_by",
        "movements",
        "created_at",
    )

    @display(description="left")
    def left(self, pack: CreditPack) -> str:
        return f"{words(pack.remaining)} of {words(pack.amount)}"

    @display(description="state", label=STATE_COLOURS)
    def state(self, pack: CreditPack) -> str:
        return state_of(pack, now())

    @display(description="movements")
    def movements(self, pack: CreditPack) -> str:
        """The newest of them; what spent it is an event or a reservation."""
        entries = pack.entries.order_by("-pk")[:50]
        return "\n".join(
            f"{entry.created_at:%Y-%m-%d %H:%M} {entry.kind} {words(entry.delta)} {entry.reference}"
            for entry in entries
        )


@admin.register(QuotaBalance)
class QuotaBalanceAdmin(ReadOnlyAdmin):
    list_display = ("who", "meter", "used_of", "kept_back", "period_start", "period_end")
    list_filter = ("project", "enforcement", "warn_due")
    list_select_related = ("consumer", "meter", "project")
    search_fields = ("consumer__public_id", "consumer__external_id")
    search_help_text = "consumer"
    ordering = ("-pk",)
    fields = (
        "consumer",
        "project",
        "meter",
        "used_of",
        "kept_back",
        "paid_by_credits",
        "enforcement",
        "period_start",
        "period_end",
    )

    @display(description="used")
    def used_of(self, balance: QuotaBalance) -> str:
        return f"{words(balance.used)} of {words(balance.limit)}"

    @display(description="kept back")
    def kept_back(self, balance: QuotaBalance) -> str:
        return words(balance.reserved) if balance.reserved else ""

    @display(description="paid by credits")
    def paid_by_credits(self, balance: QuotaBalance) -> Any:
        return words(balance.from_credits)
