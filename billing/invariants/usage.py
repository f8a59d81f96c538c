"""Promises about usage: what was counted is told to Stripe, and Stripe counts the same."""

from datetime import datetime, timedelta

from billing.invariants.found import Check, Found, example_of, found_list, found_rows
from billing.models import MeterLink, ReportState, StripeCustomer, UsageReport
from billing.models.usage import UNFINISHED
from billing.usage_compare import differing_days
from billing.usage_counted import closed_before, untold

LOOKED_BACK = timedelta(days=2)
UNTOLD_FOR = timedelta(hours=2)
WAITING = timedelta(hours=1)
SAMPLE = 200


def usage_untold(at: datetime) -> Found:
    """Closed hours of the last two days whose total is not what the reports say."""
    closed = closed_before()
    until = min(closed, at - UNTOLD_FOR) if closed else at
    examples = []
    for link in MeterLink.objects.select_related("meter"):
        for each in untold(link=link, since=at - LOOKED_BACK, until=until, most=SAMPLE):
            holder = StripeCustomer.objects.get(consumer=each.consumer_id)
            said = f"{each.bucket:%Y-%m-%d %H:00} of {link.meter.code}: counted {each.counted:f}, "
            examples.append(example_of(holder.consumer, f"{said}told {each.told:f}"))
    return found_list(examples)


def reports_waiting(at: datetime) -> Found:
    rows = UsageReport.objects.filter(state__in=UNFINISHED, created_at__lt=at - WAITING)
    return found_rows(rows.order_by("pk"), lambda row: f"{row.state}: {row.error or 'not tried'}")


def reports_refused(at: datetime) -> Found:
    rows = UsageReport.objects.filter(state=ReportState.FAILED)
    return found_rows(rows.order_by("pk"), lambda row: row.error)


def summaries_differ(at: datetime) -> Found:
    return found_list([example_of(row, row.difference) for row in differing_days()])


CHECKS = (
    Check(
        "usage-reported-is-usage-counted",
        "What was counted two hours ago and longer is in the reports to Stripe",
        "See Jobs: the roll-up and the reports must run. If they do, run "
        "`manage.py usage rebuild`.",
        usage_untold,
    ),
    Check(
        "usage-reports-arrive",
        "No report of usage waits for more than an hour",
        "Look whether Stripe and the worker are up: they are sent by themselves, each once.",
        reports_waiting,
    ),
    Check(
        "usage-reports-are-taken",
        "Stripe refused no report of usage",
        "Read Stripe's answer under Usage reports, mend its cause, and send the report again "
        "there.",
        reports_refused,
    ),
    Check(
        "stripe-counts-what-it-was-told",
        "Stripe's summaries say what was reported",
        "Open the customer at Stripe: somebody may have sent or cancelled events there. What we "
        "counted is right; send or cancel the difference there, and it is compared again.",
        summaries_differ,
    ),
)
