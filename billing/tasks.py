"""Celery's doorbells. Each only calls a service that finds its work in PostgreSQL."""

from celery import shared_task

from billing import (
    credit_note_steps,
    custom_invoices,
    inbox,
    invariants,
    merging,
    missed,
    operations,
    refund_steps,
    replays,
    scheduled,
    sweep,
    trials,
    usage_compare,
    usage_reports,
    usage_sending,
)
from billing.dunning import steps as dunning_steps
from billing.market import schedule
from billing.reconciliation import nightly, work
from config.clock import now


@shared_task
def work_inbox() -> int:
    """Work off events that wait."""
    return inbox.work_due(clock=now)


@shared_task
def settle_operations() -> int:
    """Find out what became of calls to Stripe whose outcome is open."""
    return operations.settle_due(at=now())


@shared_task
def sweep_checkouts() -> int:
    """Look at checkouts whose end nobody told us."""
    return sweep.sweep_checkouts(clock=now)


@shared_task
def fetch_missed_events() -> int:
    """Take in events that Stripe made and we never received."""
    return missed.fetch_missed_events(at=now())


@shared_task
def work_requests() -> int:
    """Go on with refunds that staff asked for, and end those to which nobody agreed."""
    return refund_steps.work_requests(clock=now)


@shared_task
def work_replays() -> int:
    """Go on with replays of many events."""
    return replays.work_replays(clock=now)


@shared_task
def check_invariants() -> int:
    """Look at the promises; returns how many are broken."""
    return sum(row.violations > 0 for row in invariants.check_all(at=now()))


@shared_task
def work_reconciliations() -> int:
    """Bring comparisons with Stripe and repairs on."""
    return work.work_reconciliations(clock=now)


@shared_task
def start_nightly_reconciliation() -> str:
    """Start the comparison of the day when its hour has come."""
    run = nightly.start_nightly(at=now())
    return run.public_id if run else ""


@shared_task
def report_usage() -> int:
    """Tell Stripe of the hours that closed lately."""
    usage_reports.plan_reports(clock=now)
    return usage_sending.send_due(clock=now)


@shared_task
def report_late_usage() -> int:
    """Find older hours that changed, or that an outage left untold."""
    return usage_reports.plan_reports(clock=now, back=usage_reports.ALL)


@shared_task
def compare_usage() -> int:
    """Read back what Stripe made of the days that are over."""
    return usage_compare.compare_usage(clock=now)


@shared_task
def carry_out_scheduled() -> int:
    """Carry out changes of subscriptions that are due."""
    return scheduled.carry_out_due(clock=now)


@shared_task
def work_custom_invoices() -> int:
    """Go on with invoices written by hand whose next step an outage delayed."""
    return custom_invoices.work_custom_invoices(clock=now)


@shared_task
def work_credit_notes() -> int:
    """Go on with credit notes that wait for their refund or for Stripe."""
    return credit_note_steps.work_credit_notes(clock=now)


@shared_task
def mail_trials() -> int:
    """Mail those whose trial ends soon."""
    return trials.mail_trials(at=now())


@shared_task
def work_payouts() -> int:
    """Pay creators whose day has come, and look at payouts that are under way."""
    return schedule.work_payouts(clock=now)


@shared_task
def adopt_stragglers() -> int:
    """Move what requests wrote under a consumer while it was merged into another."""
    return merging.adopt_stragglers(at=now())


@shared_task
def work_dunning() -> int:
    """Take the steps of unpaid renewals that are due, and mail them."""
    return dunning_steps.work_dunning(clock=now)
