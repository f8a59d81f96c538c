"""What is measured, read from PostgreSQL when Prometheus asks: right for any number of processes.

Few and indexed queries; times are of the last quarter of an hour.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, Q
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from billing.invariants import CHECKS
from billing.market.stuck import stuck_payouts
from billing.missed import latest_sweep, silence
from billing.models import (
    Drift,
    DunningCourse,
    DunningStep,
    InboxEvent,
    InboxState,
    InvariantCheck,
    Operation,
    Payout,
    ReconciliationRun,
    Refund,
    RefundRequest,
    ReportState,
    StripeErrorCount,
    UsageReport,
)
from billing.models.market import OPEN_PAYOUTS
from billing.models.operations import OPEN_STATES
from billing.models.refund_requests import OPEN_REQUESTS
from billing.models.usage import UNFINISHED
from keystore import jobs
from keystore.models import HookDelivery, JobRun

RECENT = timedelta(minutes=15)
QUANTILES = ("0.5", "0.95", "1")

WEBHOOK_TIMES = """
SELECT
    percentile_disc(ARRAY[0.5, 0.95, 1]) WITHIN GROUP (
        ORDER BY extract(epoch FROM received_at - stripe_created_at)::float)
        FILTER (WHERE deliveries > 0 AND stripe_created_at IS NOT NULL),
    percentile_disc(ARRAY[0.5, 0.95, 1]) WITHIN GROUP (
        ORDER BY extract(epoch FROM finished_at - received_at)::float)
        FILTER (WHERE finished_at IS NOT NULL),
    count(*)
FROM billing_inboxevent WHERE received_at >= %s
"""


class FromDatabase:
    """Prometheus's collector over our rows at one moment."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def collect(self) -> Iterator[Metric]:
        yield from self._webhooks()
        yield from self._inbox()
        yield from self._operations()
        yield from self._money()
        yield from self._jobs()
        yield from self._reconciliation()
        yield from self._promises()
        yield from self._hooks()
        yield from self._usage()
        yield from self._reminders()

    def _age(self, then: datetime | None) -> float:
        return max(0.0, (self.at - then).total_seconds()) if then else 0.0

    def _webhooks(self) -> Iterator[Metric]:
        with connection.cursor() as cursor:
            cursor.execute(WEBHOOK_TIMES, [self.at - RECENT])
            lag, latency, received = cursor.fetchone()
        yield _quantiles("latchkey_webhook_lag_seconds", "From Stripe to us", lag)
        yield _quantiles("latchkey_webhook_latency_seconds", "From receipt to its end", latency)
        yield _gauge("latchkey_webhook_received", "Events of the last 15 minutes", received)
        silent = silence(at=self.at)
        yield _gauge(
            "latchkey_webhook_unheard",
            "Events that Stripe made while no webhook came for 15 minutes",
            silent.events if silent else 0,
        )
        sweep = latest_sweep()
        yield _gauge(
            "latchkey_sweep_age_seconds",
            "Up to when Stripe's list of events was read",
            self._age(sweep.read_until if sweep else None),
        )
        missing = sweep.taken_in if sweep else 0
        yield _gauge("latchkey_sweep_missing", "Events that the last sweep found missing", missing)

    def _inbox(self) -> Iterator[Metric]:
        unended = (InboxState.PENDING, InboxState.PARKED)
        depth = GaugeMetricFamily("latchkey_inbox_events", "Events by state", labels=["state"])
        for state in unended:  # each has a partial index of its own
            depth.add_metric([state], InboxEvent.objects.filter(state=state).count())
        yield depth
        pending = InboxEvent.objects.filter(state=InboxState.PENDING)
        oldest = pending.aggregate(oldest=Min("received_at"))["oldest"]
        yield _gauge(
            "latchkey_inbox_oldest_seconds", "Age of the oldest waiting event", self._age(oldest)
        )

    def _operations(self) -> Iterator[Metric]:
        unfinished = Operation.objects.filter(state__in=OPEN_STATES)
        counts = dict(unfinished.values_list("state").annotate(n=Count("pk")).order_by())
        yield _by("latchkey_operations", "Open calls to Stripe", "state", OPEN_STATES, counts)
        oldest = unfinished.aggregate(oldest=Min("created_at"))["oldest"]
        yield _gauge(
            "latchkey_operations_oldest_seconds", "Age of the oldest open call", self._age(oldest)
        )
        failed = Operation.objects.filter(
            state="failed", finished_at__gte=self.at - timedelta(days=1)
        )
        yield _gauge("latchkey_operations_failed", "Calls refused in a day", failed.count())
        errors = CounterMetricFamily(
            "latchkey_stripe_errors", "Errors that Stripe answered", labels=["code"]
        )
        for row in StripeErrorCount.objects.order_by("code"):
            errors.add_metric([row.code], row.times)
        yield errors

    def _money(self) -> Iterator[Metric]:
        refunds = dict(Refund.objects.values_list("status").annotate(n=Count("pk")).order_by())
        yield _by("latchkey_refunds", "Refunds by status", "status", sorted(refunds), refunds)
        waiting = RefundRequest.objects.filter(state__in=OPEN_REQUESTS)
        counts = dict(waiting.values_list("state").annotate(n=Count("pk")).order_by())
        yield _by("latchkey_refund_requests", "Open requests", "state", OPEN_REQUESTS, counts)
        payouts = Payout.objects.filter(state__in=OPEN_PAYOUTS)
        counts = dict(payouts.values_list("state").annotate(n=Count("pk")).order_by())
        yield _by("latchkey_payouts", "Payouts under way", "state", OPEN_PAYOUTS, counts)
        yield _gauge(
            "latchkey_payouts_stuck",
            "Payouts that are longer under way than Stripe and a bank take",
            stuck_payouts(at=self.at).count(),
        )

    def _jobs(self) -> Iterator[Metric]:
        schedule = settings.JOB_SCHEDULE
        late = {job.name for job in jobs.overdue(at=self.at, schedule=schedule)}
        age = GaugeMetricFamily("latchkey_job_age_seconds", "Since its success", labels=["job"])
        failures = GaugeMetricFamily(
            "latchkey_job_failures_in_a_row", "Failures since its success", labels=["job"]
        )
        for row in JobRun.objects.filter(name__in=schedule).order_by("name"):
            age.add_metric([row.name], self._age(row.succeeded_at or row.started_at))
            failures.add_metric([row.name], row.failures_in_a_row)
        yield age
        yield failures
        overdue = {name: int(name in late) for name in schedule}
        yield _by("latchkey_job_overdue", "1: did not run", "job", sorted(schedule), overdue)

    def _reconciliation(self) -> Iterator[Metric]:
        ended = ReconciliationRun.objects.filter(finished_at__isnull=False)
        last = ended.order_by("-created_at").first()
        yield _gauge(
            "latchkey_reconciliation_age_seconds",
            "Since the last one ended; 0 before the first",
            self._age(last.finished_at if last else None),
        )
        good = last is None or last.state == "done"
        yield _gauge("latchkey_reconciliation_ok", "1: the last one came to its end", int(good))
        found = last.found if last else 0
        yield _gauge("latchkey_reconciliation_found", "Differences the last one found", found)
        drifts = Drift.objects.filter(state="open").count()
        yield _gauge("latchkey_drifts_open", "Differences with Stripe that stay", drifts)

    def _promises(self) -> Iterator[Metric]:
        rows = {row.code: row for row in InvariantCheck.objects.all()}
        broken = {code: row.violations for code, row in rows.items()}
        codes = [check.code for check in CHECKS]
        yield _by("latchkey_promise_violations", "What breaks a promise", "code", codes, broken)
        last = max((row.checked_at for row in rows.values()), default=None)
        yield _gauge("latchkey_promises_age_seconds", "Since the last look", self._age(last))

    def _hooks(self) -> Iterator[Metric]:
        pending = Q(state="pending")
        failed = Q(state="failed", finished_at__gte=self.at - timedelta(days=1))
        counts = HookDelivery.objects.filter(pending | failed).aggregate(
            pending=Count("pk", filter=pending),
            failed=Count("pk", filter=failed),
            oldest=Min("next_attempt_at", filter=pending),
        )
        yield _by(
            "latchkey_hook_deliveries",
            "Outgoing hooks: pending, and failed in a day",
            "state",
            ("pending", "failed"),
            counts,
        )
        due = self._age(counts["oldest"])
        yield _gauge("latchkey_hook_overdue_seconds", "How late the most overdue hook is", due)

    def _usage(self) -> Iterator[Metric]:
        states = (*UNFINISHED, ReportState.FAILED)
        rows = UsageReport.objects.filter(state__in=states)
        counts = dict(rows.values_list("state").annotate(n=Count("pk")).order_by())
        yield _by("latchkey_usage_reports", "Usage on its way to Stripe", "state", states, counts)
        unfinished = rows.filter(state__in=UNFINISHED)
        oldest = unfinished.aggregate(oldest=Min("created_at"))["oldest"]
        yield _gauge(
            "latchkey_usage_reports_oldest_seconds", "Age of the oldest waiting", self._age(oldest)
        )

    def _reminders(self) -> Iterator[Metric]:
        """Steps that are due and mails that wait; both stand when their job does not run."""
        waiting = DunningStep.objects.filter(state="waiting")
        found = waiting.aggregate(oldest=Min("taken_at"), number=Count("pk"))
        yield _gauge("latchkey_dunning_mails_waiting", "Reminders on their way", found["number"])
        due = DunningCourse.objects.filter(next_at__lte=self.at)
        untaken = due.aggregate(oldest=Min("next_at"))["oldest"]
        late = min((one for one in (found["oldest"], untaken) if one), default=None)
        yield _gauge(
            "latchkey_dunning_oldest_seconds", "Age of the oldest of them or due", self._age(late)
        )
        failed = DunningStep.objects.filter(
            state="failed", taken_at__gte=self.at - timedelta(days=1)
        )
        yield _gauge("latchkey_dunning_mails_failed", "Given up in a day", failed.count())


def _gauge(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(name, said, value=value)


def _by(
    name: str, said: str, label: str, values: tuple[str, ...] | list[str], counts: dict[str, int]
) -> Metric:
    """One number for each value of the label, 0 included, so that a series never vanishes."""
    family = GaugeMetricFamily(name, said, labels=[label])
    for value in values:
        family.add_metric([str(value)], counts.get(value, 0))
    return family


def _quantiles(name: str, said: str, found: list[float] | None) -> Metric:
    family = GaugeMetricFamily(f"{name}", f"{said}, last 15 minutes", labels=["quantile"])
    for quantile, value in zip(QUANTILES, found or (0.0,) * len(QUANTILES), strict=True):
        family.add_metric([quantile], max(0.0, value))
    return family
