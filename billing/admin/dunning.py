"""Overdue renewals: where each stands, what staff do about it, and what a project sets."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin.sales import CONSUMER_SEARCH, SaleAdmin
from billing.dunning import desk
from billing.dunning.course import look_again, owed
from billing.dunning.standing import standing_of, told_of_step
from billing.dunning.texts import UNSEEN
from billing.models import DunningCourse, DunningPolicy
from billing.money import shown
from config.clock import now
from keystore.admin.dialogs import ReasonDialog, carry_out, opened_on
from keystore.admin.filters import DayFilter
from keystore.admin.pages import AuditedAdmin, actor_of, holds, row_or_404

SEE = "billing.view_dunningcourse"
STATE_COLOURS = {
    "running": "warning",
    "paused": "info",
    "paid": "success",
    "uncollectible": "danger",
    "cancelled": "danger",
}


class CourseDialog(ReasonDialog):
    """A dialog about one course."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = DunningCourse.objects.select_related("consumer", "invoice")
        self.course: DunningCourse = row_or_404(rows, self.object_id)


@admin.register(DunningCourse)
class DunningCourseAdmin(SaleAdmin):
    list_display = (
        *("invoice", "who", "project", "amount", "status_label", "stands"),
        *("failed_at", "access_until"),
    )
    list_filter = (
        *("project", "state", "outcome", ("access_ended_at", admin.EmptyFieldListFilter)),
        *(("failed_at", DayFilter), ("closed_at", DayFilter)),
    )
    list_select_related = ("consumer", "project", "invoice")
    search_fields = (
        *("public_id", "invoice__number", "invoice__stripe_invoice_id"),
        *("subscription__stripe_subscription_id", *CONSUMER_SEARCH),
    )
    ordering = ("-failed_at",)
    fields = (
        *("consumer", "project", "invoice_link", "subscription", "amount", "status_label"),
        *("stands", "history", "failed_at", "access_until", "access_ended_at", "next_at"),
        *("closed_at", "public_id"),
    )
    actions_detail = ("send_now", "pause", "resume", "skip")
    has_send_permission = holds("billing.send_dunning", SEE)
    has_pause_permission = holds("billing.pause_dunning", SEE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DunningCourse]:
        rows: QuerySet[DunningCourse] = super().get_queryset(request)
        return rows.prefetch_related("steps")

    @admin.display(description="invoice", ordering="invoice__number")
    def invoice_link(self, course: DunningCourse) -> str:
        url = reverse("admin:billing_invoice_change", args=[course.invoice_id])
        return format_html('<a class="text-link" href="{}">{}</a>', url, course.invoice)

    @display(description="state", label=STATE_COLOURS)
    def status_label(self, course: DunningCourse) -> str:
        return str(course.outcome or course.state)

    @admin.display(description="amount")
    def amount(self, course: DunningCourse) -> str:
        invoice = course.invoice
        return shown(owed(invoice) or invoice.total_minor, invoice.currency)

    @admin.display(description="where it stands")
    def stands(self, course: DunningCourse) -> str:
        return standing_of(course)

    @admin.display(description="steps")
    def history(self, course: DunningCourse) -> str:
        steps = sorted(course.steps.all(), key=lambda step: step.pk)
        lines = ((told_of_step(step),) for step in steps)
        return format_html_join("", "<div>{}</div>", lines) or "none yet"

    @action(
        description="Send a reminder now",
        icon="send",
        variant=ActionVariant.PRIMARY,
        permissions=["send"],
        dialog={
            "title": "Send a reminder now",
            "description": "The next one before its time; after the last one, once more.",
            "form_class": CourseDialog,
        },
    )
    def send_now(self, request: HttpRequest, form: CourseDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            step = desk.remind_now(course=form.course, **_by(request, form))
            desk.deliver(now)
            step.refresh_from_db()
            return f"{step.get_kind_display().capitalize()}: {step.state}. {step.note}".strip()

        return _carry_out(request, form, deed)

    @action(
        description="Pause",
        icon="pause",
        permissions=["pause"],
        dialog={
            "title": "Pause the reminders",
            "description": "Nothing is mailed. Access ends on its day all the same.",
            "form_class": CourseDialog,
        },
    )
    def pause(self, request: HttpRequest, form: CourseDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            done = desk.pause(course=form.course, **_by(request, form))
            return "The reminders are paused." if done else "They were paused before."

        return _carry_out(request, form, deed)

    @action(
        description="Resume",
        icon="play_arrow",
        permissions=["pause"],
        dialog={
            "title": "Let the reminders go on",
            "description": "Of what was due meanwhile only the latest is sent, within a minute.",
            "form_class": CourseDialog,
        },
    )
    def resume(self, request: HttpRequest, form: CourseDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            done = desk.resume(course=form.course, **_by(request, form))
            return "The reminders go on." if done else "They were not paused."

        return _carry_out(request, form, deed)

    @action(
        description="Skip the next one",
        icon="skip_next",
        permissions=["pause"],
        dialog={
            "title": "Leave the next reminder out",
            "description": "Those after it come when they are due.",
            "form_class": CourseDialog,
        },
    )
    def skip(self, request: HttpRequest, form: CourseDialog, object_id: str) -> HttpResponse:
        def deed() -> str:
            step = desk.skip(course=form.course, **_by(request, form))
            return f"The {step.get_kind_display()} of {step.due_at:%Y-%m-%d} is left out."

        return _carry_out(request, form, deed)


def _by(request: HttpRequest, form: CourseDialog) -> dict[str, Any]:
    return {"actor": actor_of(request), "reason": form.reason, "at": now()}


def _carry_out(request: HttpRequest, form: CourseDialog, deed: Any) -> HttpResponse:
    page = reverse("admin:billing_dunningcourse_change", args=[form.course.pk])
    consumer = reverse("admin:keystore_consumer_change", args=[form.course.consumer_id])
    back = opened_on(request, pages=(page, consumer), otherwise=page)
    return carry_out(request, form, deed, back=back)


class PolicyForm(ModelForm):
    """Languages that there are, a name of one line."""

    language = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "language" in self.fields:  # not for whoever only looks
            usual = f"the usual one ({settings.LANGUAGE_CODE})"
            self.fields["language"].choices = [("", usual), *settings.LANGUAGES]  # type: ignore[attr-defined]

    def clean_sender_name(self) -> str:
        name = str(self.cleaned_data["sender_name"])
        if UNSEEN.search(name):
            raise forms.ValidationError("A name is one line without control characters.")
        return name


@admin.register(DunningPolicy)
class DunningPolicyAdmin(AuditedAdmin):
    form = PolicyForm
    list_display = ("project", "enabled", "days", "last_reminder_hours", "sender_name")
    list_select_related = ("project",)
    set_once = ("project",)

    @admin.display(description="reminder days")
    def days(self, policy: DunningPolicy) -> str:
        return ", ".join(map(str, policy.reminder_days)) or "none"

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "reminder_days":
            kwargs["widget"] = UnfoldAdminTextInputWidget
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        look_again(project=obj.project, at=now())
