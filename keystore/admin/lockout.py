"""Who guessed passwords and is locked out for a while, and letting them try again sooner."""

import math
from datetime import datetime

from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib import admin
from django.db import transaction
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from unfold.decorators import action

from config.clock import now
from keystore import audit
from keystore.addresses import guessing_address
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404


def refuse_locked_out(
    request: HttpRequest, response: HttpResponse, credentials: dict[str, str] | None
) -> HttpResponse:
    """The page in place of any answer to a login or step-up of somebody who is locked out."""
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": reverse("staff-locked")})
    return _page(request, str((credentials or {}).get("username", "")))


@never_cache
@require_safe
def locked_page(request: HttpRequest) -> HttpResponse:
    """The same for whoever was locked out in a dialog."""
    return _page(request, request.user.get_username())


def _page(request: HttpRequest, username: str) -> HttpResponse:
    until = locked_until(username=username, address=guessing_address(request)) or now()
    seconds = max(1, math.ceil((until - now()).total_seconds()))
    context = {
        **admin.site.each_context(request),
        "title": "Too many tries",
        "until": until,
        "minutes": math.ceil(seconds / 60),
    }
    page = render(request, "admin/safety/locked.html", context, status=429)
    page["Retry-After"] = str(seconds)
    return page


def locked_until(*, username: str, address: str | None) -> datetime | None:
    """When the password is looked at again; None when nothing was ever tried."""
    tries = AccessAttempt.objects.filter(username=username, ip_address=address)
    latest: datetime | None = tries.aggregate(latest=Max("attempt_time"))["latest"]
    return latest + settings.AXES_COOLOFF_TIME if latest else None


@transaction.atomic
def unlock_login(*, attempt: AccessAttempt, actor: str, reason: str) -> int:
    """Forget the failed tries of this user from this address. How many rows went."""
    audit.record(
        actor=actor,
        act="login.unlock",
        target=attempt,
        before={"username": attempt.username, "address": attempt.ip_address},
        reason=reason,
    )
    return int(
        AxesProxyHandler.reset_attempts(username=attempt.username, ip_address=attempt.ip_address)
    )


@admin.register(AccessAttempt)
class AccessAttemptAdmin(ReadOnlyAdmin):
    """Failed logins that count now."""

    list_display = ("username", "ip_address", "failures_since_start", "locked", "attempt_time")
    list_filter = (("attempt_time", DayFilter),)
    search_fields = ("username", "ip_address")
    # Not what was posted: a password typed in the wrong field is still a password.
    fields = (
        "username",
        "ip_address",
        "user_agent",
        "failures_since_start",
        "locked",
        "path_info",
        "attempt_time",
    )
    actions_detail = ("unlock",)
    has_unlock_permission = holds("keystore.unlock_login", "axes.view_accessattempt")

    @admin.display(description="locked out until")
    def locked(self, attempt: AccessAttempt) -> datetime | str:
        until = attempt.attempt_time + settings.AXES_COOLOFF_TIME
        enough = attempt.failures_since_start >= settings.AXES_FAILURE_LIMIT
        return until if enough and until > now() else "-"

    @action(
        description="Let them try again",
        icon="lock_open",
        permissions=["unlock"],
        dialog={
            "title": "Let them try again",
            "description": "Forgets the failed tries of this user from this address.",
            "form_class": ReasonDialog,
        },
    )
    def unlock(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        attempt = row_or_404(AccessAttempt.objects.all(), object_id)

        def deed() -> str:
            unlock_login(attempt=attempt, actor=actor_of(request), reason=form.reason)
            return f"{attempt.username} may try again from {attempt.ip_address}."

        return carry_out(request, form, deed, back=reverse("admin:axes_accessattempt_changelist"))


@admin.register(AccessFailureLog, AccessLog)
class AccessLogAdmin(ReadOnlyAdmin):
    """Who logged in, or tried to, from where and when."""

    list_display = ("username", "ip_address", "path_info", "attempt_time")
    list_filter = (("attempt_time", DayFilter),)
    search_fields = ("username", "ip_address")
    fields = ("username", "ip_address", "user_agent", "path_info", "attempt_time")
