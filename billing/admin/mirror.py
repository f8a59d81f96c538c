"""Stripe's objects as dj-stripe mirrored them, to read. dj-stripe's own admin is taken away.

That one cancels subscriptions and copies whole accounts for any staff user, permissions or not,
and offers to edit the mirror, which Stripe would never hear of.
"""

import json
from typing import Any

import djstripe.admin  # noqa: F401  registers what is taken away below
from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from djstripe import models
from unfold.admin import ModelAdmin

from keystore.admin.personal import PersonalDataAdmin, sees
from keystore.masking import masked_all

# Not Session: its id opens the page on which the buyer's key is handed over.
MIRRORED = (
    models.Account,
    models.BalanceTransaction,
    models.Charge,
    models.Customer,
    models.Dispute,
    models.Invoice,
    models.PaymentIntent,
    models.PaymentMethod,
    models.Price,
    models.Product,
    models.Refund,
    models.SetupIntent,
    models.Subscription,
)
SHOWN_URLS = ("_changelist", "_change")


class MirrorAdmin(PersonalDataAdmin, ModelAdmin):
    """One kind of Stripe object: a list, and each as the JSON that Stripe gave."""

    list_display = ("id", "livemode", "created")
    list_filter = ("livemode",)
    search_fields = ("id",)
    ordering = ("-created",)
    list_per_page = 50
    show_full_result_count = False
    actions = None
    masked_names = {"stripe_data": "masked_data"}

    def get_urls(self) -> list[URLPattern]:
        """Nothing but the two pages, so that no path leads to an act."""
        return [url for url in super().get_urls() if str(url.name).endswith(SHOWN_URLS)]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What Stripe knows of a person is all in there.
        return request.user.has_perms(["billing.view_mirror", "keystore.view_personal_data"])

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id}.")
        shown = found.stripe_data if sees(request, found) else masked_all(found.stripe_data)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": found.id,
            "found": found,
            "pretty": json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False),
            **self.reveal_context(request, found),
        }
        return TemplateResponse(request, "admin/mirror.html", context)


def replace_admin(site: admin.AdminSite) -> None:
    """Every page of dj-stripe goes; those worth reading come back without anything to do."""
    for model in apps.get_app_config("djstripe").get_models():
        if site.is_registered(model):
            site.unregister(model)
    site.register(MIRRORED, MirrorAdmin)


replace_admin(admin.site)
