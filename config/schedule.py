"""The one table of periodic jobs: the task and how often beat rings it, in seconds.

Read by Celery's beat and by whoever asks which job did not run.
"""

MINUTE = 60
HOUR = 60 * MINUTE

BEAT: dict[str, float] = {
    "config.heartbeat": 10,
    "billing.tasks.work_inbox": 10,
    "billing.tasks.work_replays": 15,
    "billing.tasks.settle_operations": 15,
    "billing.tasks.work_requests": 15,
    "billing.tasks.adopt_stragglers": MINUTE,
    "billing.tasks.work_payouts": 5 * MINUTE,
    "billing.tasks.sweep_checkouts": MINUTE,
    "billing.tasks.carry_out_scheduled": 15,
    "billing.tasks.work_custom_invoices": 30,
    "billing.tasks.work_credit_notes": 15,
    "billing.tasks.mail_trials": MINUTE,
    "billing.tasks.work_dunning": MINUTE,
    "billing.tasks.fetch_missed_events": 5 * MINUTE,
    "billing.tasks.work_reconciliations": 15,
    "billing.tasks.start_nightly_reconciliation": 5 * MINUTE,
    "billing.tasks.check_invariants": 5 * MINUTE,
    "billing.tasks.report_usage": MINUTE,
    "billing.tasks.report_late_usage": 30 * MINUTE,
    "billing.tasks.compare_usage": HOUR,
    "keystore.tasks.deliver_hooks": 10,
    "keystore.tasks.wipe_old_claims": HOUR,
    "keystore.tasks.mail_leaks": MINUTE,
    "keystore.tasks.prune_messages": 5 * MINUTE,
    "keystore.tasks.forget_changes": MINUTE,
    "keystore.tasks.prune_stored_answers": 24 * HOUR,
    "entitlements.tasks.refresh_due_answers": 15,
    "entitlements.tasks.give_batches": 10,
    "entitlements.tasks.remind_givers": HOUR,
    "metering.tasks.roll_up": 10,
    "metering.tasks.make_partitions": HOUR,
    "metering.tasks.forget_old_rejections": HOUR,
    "metering.tasks.expire_reservations": MINUTE,
    "metering.tasks.expire_credits": HOUR,
    "metering.tasks.warn_quotas": 10,
    "metering.tasks.mail_warnings": MINUTE,
}
