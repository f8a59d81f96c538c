"""What Stripe was told of usage, and what it refused."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display

from billing.models import UsageReport
from billing.usage_reports import retry_report
from config.clock import now
from keystore.admin.dialogs import ReasonDialog, carry_out
from keystore.admin.filters import DayFilter
from keystore.admin.pages import ReadOnlyAdmin, actor_of, holds, row_or_404, row_or_none

SEE = "billing.view_usagereport"
RETRY = "billing.retry_usagereport"
REPORT_COLOURS = {
    "waiting": "info",
    "sent": "info",
    "unknown": "warning",
    "done": "success",
    "failed": "danger",
    "differs": "danger",
}


@admin.register(UsageReport)
class UsageReportAdmin(ReadOnlyAdmin):
    list_display = (
        "identifier",
        "who",
        "meter",
        "bucket",
        "kind",
        "units",
        "quantity",
        "state_label",
        "attempts",
        "settled_at",
    )
    list_filter = ("state", "kind", "project", ("bucket", DayFilter))
    list_select_related = ("consumer", "meter", "project")
    list_fullwidth = True
    search_fields = (
        "identifier",
        "stripe_customer_id",
        "consumer__external_id",
        "consumer__public_id",
    )
    search_help_text = "identifier of the event, cus_ id, con_ id, your own id of the consumer"
    ordering = ("-pk",)
    fields = (
        "identifier",
        "consumer",
        "meter",
        "bucket",
        "version",
        "kind",
        "cancels",
        "units",
        "quantity",
        "state_label",
        "error",
        "difference",
        "stripe_customer_id",
        "stamped_at",
        "attempts",
        "first_sent_at",
        "settled_at",
        "compared_at",
        "created_at",
    )
    actions_detail = ("retry",)
    has_retry_permission = holds(RETRY, SEE)

    @admin.display(description="counted", ordering="counted")
    def units(self, report: UsageReport) -> str:
        text = f"{report.counted:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    @display(description="state", label=REPORT_COLOURS)
    def state_label(self, report: UsageReport) -> str:
        return "differs" if report.difference else report.state

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The button while there is something to send again."""
        found = row_or_none(UsageReport.objects.filter(state="failed"), object_id)
        return super().get_actions_detail(request, object_id) if found else []

    @action(
        description="Send again",
        icon="replay",
        permissions=["retry"],
        dialog={
            "title": "Send this report again",
            "description": "The same event under the same identifier. Look at Stripe's answer "
            "first: what it refused, it refuses again until its cause is mended.",
            "form_class": ReasonDialog,
        },
    )
    def retry(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        report = row_or_404(UsageReport.objects.all(), object_id)

        def deed() -> str:
            retry_report(report=report, actor=actor_of(request), reason=form.reason, at=now())
            return f"{report} is in line to be sent."

        back = reverse("admin:billing_usagereport_change", args=[report.pk])
        return carry_out(request, form, deed, back=back)
