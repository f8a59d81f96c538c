"""Looking at a customer's own page as they see it: read only, on record, for half an hour."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from unfold.decorators import action

from billing.dashboard import dashboard_of
from config.clock import now
from keystore import audit
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.pages import actor_of, holds, row_or_404
from keystore.admin.personal import sees
from keystore.masking import masked
from keystore.models import Consumer

PERMISSION = "keystore.see_as_consumer"
LASTS = timedelta(minutes=30)
LOOKING = "see_as"  # in the session: whom, until when


@dataclass(frozen=True)
class Look:
    consumer: Consumer
    until: datetime


class SeeAs:
    """The consumer page's button. Mixed into its ModelAdmin."""

    has_see_as_permission = holds(PERMISSION, "keystore.view_consumer")

    @action(
        description="See as customer",
        icon="visibility",
        permissions=["see_as"],
        dialog={
            "title": "See what the customer sees",
            "description": "Their own page, to read, for 30 minutes. It is on record.",
            "form_class": ReasonDialog,
        },
    )
    def see_as(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        consumer = row_or_404(Consumer.objects.select_related("project"), object_id)

        def deed() -> str:
            begin_look(request, consumer=consumer, reason=form.reason, at=now())
            return "You look at the customer's own page."

        return carry_out(request, form, deed, back=reverse("see-as"))


def begin_look(request: HttpRequest, *, consumer: Consumer, reason: str, at: datetime) -> None:
    """One customer at a time: a look that still lasts ends first."""
    end_look(request, because="another look began")
    until = at + LASTS
    _record(request, "see_as.begin", consumer, reason=reason, until=until)
    request.session[LOOKING] = {"consumer": consumer.public_id, "until": until.timestamp()}


def end_look(request: HttpRequest, *, because: str) -> Consumer | None:
    """Whose page it was; None when nobody was looking."""
    known = request.session.pop(LOOKING, None)
    if known is None:
        return None
    consumer = Consumer.objects.select_related("project").get(public_id=known["consumer"])
    _record(request, "see_as.end", consumer, reason=because)
    return consumer


def look_of(request: HttpRequest, *, at: datetime) -> Look | None:
    """Whom the session looks at now. A look whose time has run out ends here, on record."""
    known = request.session.get(LOOKING)
    if known is None:
        return None
    until = datetime.fromtimestamp(known["until"], UTC)
    if until <= at:
        end_look(request, because="its time ran out")
        return None
    found = Consumer.objects.select_related("project").get(public_id=known["consumer"])
    return Look(found, until)


@never_cache
@require_safe
def see_as_page(request: HttpRequest) -> HttpResponse:
    """The customer's page under a banner that says whose it is and until when."""
    _refuse_without_permission(request)
    at = now()
    look = look_of(request, at=at)
    if look is None:
        messages.info(request, "The look has ended. Begin a new one on the consumer's page.")
        return redirect("admin:keystore_consumer_changelist")
    name = look.consumer.external_id
    context = {
        "dashboard": dashboard_of(consumer=look.consumer, at=at),
        "seen_as": name if sees(request, look.consumer) else masked(name),
        "until": look.until,
    }
    return render(request, "billing/dashboard.html", context)


@require_POST
def end_see_as(request: HttpRequest) -> HttpResponse:
    """Back to the consumer's page."""
    _refuse_without_permission(request)
    consumer = end_look(request, because="ended by hand")
    if consumer is None:
        return redirect("admin:keystore_consumer_changelist")
    return redirect("admin:keystore_consumer_change", consumer.pk)


def _refuse_without_permission(request: HttpRequest) -> None:
    """Asked at every page: a permission taken away ends the look at once."""
    if not request.user.is_staff or not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def _record(
    request: HttpRequest,
    act: str,
    consumer: Consumer,
    *,
    reason: str,
    until: datetime | None = None,
) -> None:
    audit.record(
        actor=actor_of(request),
        act=act,
        target=consumer,
        consumer=consumer,
        after={"until": until} if until else None,
        reason=reason,
    )
