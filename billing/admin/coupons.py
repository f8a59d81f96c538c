"""Coupons and promotion codes: offered, looked at, taken back; and who redeemed them."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from billing import gateway
from billing.admin.coupon_forms import CodeDialog, CodeEndDialog, CouponDialog, OfferDialog
from billing.admin.sales import CONSUMER_SEARCH, SaleAdmin
from billing.models import Coupon, PromotionCode, Redemption
from billing.money import shown
from billing.promotions.offers import (
    offer_code,
    offer_coupon,
    refresh,
    withdraw_code,
    withdraw_coupon,
)
from config.clock import now
from config.errors import DomainError
from keystore.admin.dialogs import carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import actor_of, holds, row_or_404

STRIPE_SECONDS = 8.0
SEE = "billing.view_coupon"
COLOURS = {"on offer": "success", "being made": "info", "ended": "warning", "refused": "danger"}


def state_of(row: Coupon | PromotionCode) -> str:
    if row.problem:
        return "refused"
    if row.active:
        return "on offer"
    return "ended" if row.withdrawn_at or row.synced_at else "being made"


class CodesInline(TabularInline):
    model = PromotionCode
    fields = ("code", "active", "first_time", "expires_at", "max_redemptions", "times_redeemed")
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True
    verbose_name_plural = "promotion codes"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Coupon)
class CouponAdmin(SaleAdmin):
    list_display = ("code", "project", "off", "length", "for_plans", "state", "used", "redeem_by")
    list_filter = ("project", "active", "duration", ("created_at", DayFilter))
    list_select_related = ("project",)
    search_fields = ("code", "name", "public_id", "=stripe_coupon_id")
    masked_names: dict[str, str] = {}
    ordering = ("-created_at",)
    fields = (
        *("code", "name", "project", "state", "problem", "off", "length", "for_plans"),
        *(
            "used",
            "redeemers",
            "redeem_by",
            "stripe_coupon_id",
            "created_by",
            "created_at",
            "withdrawn_at",
        ),
    )
    inlines = (CodesInline,)
    actions_list = ("offer",)
    actions_detail = ("add_code", "withdraw", "look")
    has_offer_permission = holds("billing.offer_coupon", SEE)
    has_see_permission = holds(SEE)

    @display(description="state", label=COLOURS)
    def state(self, coupon: Coupon) -> str:
        return state_of(coupon)

    @admin.display(description="takes off")
    def off(self, coupon: Coupon) -> str:
        return coupon.off

    @admin.display(description="counts")
    def length(self, coupon: Coupon) -> str:
        return coupon.length

    @admin.display(description="plans")
    def for_plans(self, coupon: Coupon) -> str:
        return ", ".join(coupon.plans) or "all"

    @admin.display(description="redeemed", ordering="times_redeemed")
    def used(self, coupon: Coupon) -> str:
        return _of(coupon.times_redeemed, coupon.max_redemptions)

    @admin.display(description="by")
    def redeemers(self, coupon: Coupon) -> str:
        page = reverse("admin:billing_redemption_changelist")
        number = coupon.redemptions.count()
        url = f"{page}?{urlencode({'coupon__id__exact': coupon.pk})}"
        return format_html('<a href="{}">{} discounts on subscriptions</a>', url, number)

    @action(
        description="Offer a coupon",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["offer"],
        dialog={
            "title": "Offer a coupon",
            "description": "At Stripe a coupon never changes: other terms are another coupon.",
            "form_class": OfferDialog,
        },
    )
    def offer(self, request: HttpRequest, form: OfferDialog) -> HttpResponse:
        def deed() -> str:
            with gateway.deadline(STRIPE_SECONDS):
                made = offer_coupon(
                    project=form.cleaned_data["project"],
                    terms=form.terms,
                    actor=actor_of(request),
                    reason=form.reason,
                    clock=now,
                )
            return f"{made.off} off, {made.length}: give it a code that buyers type."

        return carry_out(request, form, deed, back=reverse("admin:billing_coupon_changelist"))

    @action(
        description="Add a promotion code",
        icon="sell",
        variant=ActionVariant.PRIMARY,
        permissions=["offer"],
        dialog={"title": "Add a promotion code", "form_class": CodeDialog},
    )
    def add_code(self, request: HttpRequest, form: CodeDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            with gateway.deadline(STRIPE_SECONDS):
                made = offer_code(
                    coupon=form.coupon,
                    terms=form.terms,
                    actor=actor_of(request),
                    reason=form.reason,
                    clock=now,
                )
            return f"Whoever types {made.code} gets {form.coupon.off} off."

        return carry_out(request, form, deed, back=_page(form.coupon))

    @action(
        description="Withdraw",
        icon="block",
        permissions=["offer"],
        dialog={
            "title": "Withdraw the coupon",
            "description": "Nobody redeems it or its codes any more. Discounts that run go on.",
            "form_class": CouponDialog,
        },
    )
    def withdraw(self, request: HttpRequest, form: CouponDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            with gateway.deadline(STRIPE_SECONDS):
                withdraw_coupon(
                    coupon=form.coupon, actor=actor_of(request), reason=form.reason, clock=now
                )
            return f"{form.coupon} cannot be redeemed any more."

        return carry_out(request, form, deed, back=_page(form.coupon))

    @action(description="Count again at Stripe", icon="sync", permissions=["see"])
    def look(self, request: HttpRequest, object_id: str) -> HttpResponse:
        coupon = row_or_404(Coupon.objects.all(), object_id)
        try:
            with gateway.deadline(STRIPE_SECONDS):
                refresh(coupon=coupon, at=now())
            messages.success(request, "Redemptions are as Stripe counts them now.")
        except DomainError as refusal:
            messages.error(request, refusal.message)
        return redirect(_page(coupon))


def _page(coupon: Coupon) -> str:
    return reverse("admin:billing_coupon_change", args=[coupon.pk])


def _of(times: int, most: int | None) -> str:
    return f"{times} of {most}" if most else str(times)


@admin.register(PromotionCode)
class PromotionCodeAdmin(SaleAdmin):
    list_display = ("code", "coupon", "project", "state", "used", "who_may", "expires_at")
    list_filter = ("project", "active", "first_time", ("created_at", DayFilter))
    list_select_related = ("coupon", "project", "consumer")
    search_fields = ("code", "public_id", "=stripe_promotion_code_id", *CONSUMER_SEARCH)
    ordering = ("-created_at",)
    fields = (
        *("code", "coupon", "project", "state", "problem", "who_may", "least", "used"),
        *("expires_at", "stripe_promotion_code_id", "created_by", "created_at", "withdrawn_at"),
    )
    actions_detail = ("withdraw",)
    has_offer_permission = holds("billing.offer_coupon", "billing.view_promotioncode")

    @display(description="state", label=COLOURS)
    def state(self, code: PromotionCode) -> str:
        return state_of(code)

    @admin.display(description="redeemed", ordering="times_redeemed")
    def used(self, code: PromotionCode) -> str:
        return _of(code.times_redeemed, code.max_redemptions)

    @admin.display(description="for")
    def who_may(self, code: PromotionCode) -> str:
        who = code.consumer.public_id if code.consumer else "everybody"
        return f"{who}, first purchase" if code.first_time else who

    @admin.display(description="smallest purchase")
    def least(self, code: PromotionCode) -> str:
        return shown(code.minimum_minor, code.minimum_currency) if code.minimum_minor else "any"

    @action(
        description="Withdraw",
        icon="block",
        variant=ActionVariant.PRIMARY,
        permissions=["offer"],
        dialog={
            "title": "Withdraw the code",
            "description": "Nobody redeems it any more. What was redeemed stays.",
            "form_class": CodeEndDialog,
        },
    )
    def withdraw(self, request: HttpRequest, form: CodeEndDialog, object_id: str) -> HttpResponse:
        code = form.promotion_code

        def deed() -> str:
            with gateway.deadline(STRIPE_SECONDS):
                withdraw_code(code=code, actor=actor_of(request), reason=form.reason, clock=now)
            return f"{code} cannot be redeemed any more."

        back = reverse("admin:billing_promotioncode_change", args=[code.pk])
        return carry_out(request, form, deed, back=back)


@admin.register(Redemption)
class RedemptionAdmin(SaleAdmin):
    list_display = ("who", "coupon", "promotion_code", "project", "began_at", "ends_at", "gone_at")
    list_filter = (
        "project",
        "coupon",
        ("began_at", DayFilter),
        ("gone_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("consumer", "coupon", "promotion_code", "project")
    search_fields = ("coupon__code", "promotion_code__code", *CONSUMER_SEARCH)
    ordering = ("-began_at",)
