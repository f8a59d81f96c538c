"""Promises about the machinery: what arrived is worked off, what is due runs, nothing hangs."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Q

from billing.invariants.found import Check, Found, found_list, found_rows
from billing.missed import silence
from billing.models import InboxEvent
from keystore import jobs
from keystore.models import HookDelivery

WAITING = timedelta(minutes=15)
OVERDUE_HOOK = timedelta(minutes=15)
LONGEST_TRANSACTION_SECONDS = 60
LONGEST_LOCK_WAIT_SECONDS = 10
AUDIT_TRIGGER = "keystore_audit_is_append_only"

TRIGGER = """
SELECT tgenabled = 'O' AND tgtype & 24 = 24 FROM pg_trigger
WHERE tgrelid = 'keystore_auditentry'::regclass AND tgname = %s AND NOT tgisinternal
"""
OLD = """
SELECT pid, state, application_name,
    extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds,
    cardinality(pg_blocking_pids(pid)) > 0 AS waits
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    AND backend_type = 'client backend'
    AND (clock_timestamp() - xact_start > make_interval(secs => %s)
        OR (wait_event_type = 'Lock' AND clock_timestamp() - state_change
            > make_interval(secs => %s)))
"""


def events_waiting(at: datetime) -> Found:
    rows = InboxEvent.objects.defer("payload").filter(state="pending", received_at__lt=at - WAITING)
    return found_rows(
        rows.order_by("pk"), lambda row: f"{row.attempts} tries: {row.last_error or 'not tried'}"
    )


def events_parked(at: datetime) -> Found:
    rows = InboxEvent.objects.defer("payload").filter(state="parked")
    return found_rows(rows.order_by("-pk"), lambda row: row.last_error)


def done_without_effect(at: datetime) -> Found:
    """Done, but neither a note of what it led to nor when: of the last day."""
    ended = InboxEvent.objects.defer("payload").filter(received_at__gte=at - timedelta(days=1))
    rows = ended.filter(Q(note="") | Q(finished_at=None), state__in=("done", "ignored"))
    return found_rows(rows.order_by("pk"), lambda row: f"{row.state} without a note of why")


def webhooks_silent(at: datetime) -> Found:
    found = silence(at=at)
    if found is None:
        return Found()
    last = found.last_webhook_at
    heard = f"the last webhook came {last:%Y-%m-%d %H:%M} UTC" if last else "no webhook ever came"
    example = {"object": "Stripe's webhooks", "detail": heard, "model": "", "pk": ""}
    return Found(found.events, [example])


def audit_unguarded(at: datetime) -> Found:
    with connection.cursor() as cursor:
        cursor.execute(TRIGGER, [AUDIT_TRIGGER])
        row = cursor.fetchone()
    if row and row[0]:
        return Found()
    detail = "its trigger is switched off" if row else "its trigger is gone"
    return Found(1, [{"object": "Audit trail", "detail": detail, "model": "", "pk": ""}])


def transactions_old(at: datetime) -> Found:
    with connection.cursor() as cursor:
        cursor.execute(OLD, [LONGEST_TRANSACTION_SECONDS, LONGEST_LOCK_WAIT_SECONDS])
        rows = cursor.fetchall()
    return found_list(
        [
            {
                "object": f"process {pid} of PostgreSQL",
                "detail": f"{'waits for a lock' if waits else state}, open for {seconds} s "
                f"({name or 'unnamed'})",
                "model": "",
                "pk": "",
            }
            for pid, state, name, seconds, waits in rows
        ]
    )


def hooks_overdue(at: datetime) -> Found:
    rows = HookDelivery.objects.filter(
        state="pending", next_attempt_at__lt=at - OVERDUE_HOOK
    ).select_related("endpoint")
    return found_rows(
        rows.order_by("pk"),
        lambda row: f"due {row.next_attempt_at:%Y-%m-%d %H:%M}, {row.attempts} tries",
    )


def jobs_overdue(at: datetime) -> Found:
    late = jobs.overdue(at=at, schedule=settings.JOB_SCHEDULE)
    return found_list(
        [
            {
                "object": job.name,
                "detail": f"last success {job.since:%Y-%m-%d %H:%M:%S}"
                if job.since
                else "never ran",
                "model": "keystore.jobrun",
                "pk": "",
            }
            for job in late
        ]
    )


CHECKS = (
    Check(
        "events-are-worked-off",
        "No event waits for more than 15 minutes",
        "Look whether the worker runs and whether Stripe answers. The inbox shows the error of "
        "each try; they are tried again by themselves.",
        events_waiting,
    ),
    Check(
        "no-event-is-parked",
        "No event was given up",
        "Open the inbox, read the error, mend its cause, and replay the group.",
        events_parked,
    ),
    Check(
        "ended-events-say-why",
        "Every event that ended says what it led to",
        "Replay the events named here; it is safe.",
        done_without_effect,
    ),
    Check(
        "webhooks-arrive",
        "Stripe's webhooks arrive",
        "Stripe makes events that no webhook brings; the sweep takes them in, minutes late. Look "
        "at the endpoint in Stripe's dashboard: its address, its secret, and whether it is on.",
        webhooks_silent,
    ),
    Check(
        "audit-is-guarded",
        "The database refuses changes of the audit trail",
        "Somebody took the trigger away. Find out who, put it back by migrating "
        "keystore 0002, and compare the trail with a backup.",
        audit_unguarded,
    ),
    Check(
        "no-old-transactions",
        "No transaction is open for a minute, none waits 10 seconds for a lock",
        "See pg_stat_activity for what the process does; end it with pg_terminate_backend if it "
        "is stuck.",
        transactions_old,
    ),
    Check(
        "hooks-are-delivered",
        "No outgoing hook is due for more than 15 minutes",
        "Look whether the worker runs; then at the deliveries and their endpoint.",
        hooks_overdue,
    ),
    Check(
        "jobs-run",
        "Every periodic job succeeds in its time",
        "See Jobs for its outcome. If all are late, beat or the worker is down.",
        jobs_overdue,
    ),
)
