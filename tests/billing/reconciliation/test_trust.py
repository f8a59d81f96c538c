"""A bad answer from Stripe changes nothing, a crash loses nothing, and nothing flaps."""

from datetime import timedelta

import pytest
from django.core import mail

from billing.inbox import work_due
from billing.missed import fetch_missed_events
from billing.models import Drift, ListedObject, ReconciliationRun, RunMode
from billing.reconciliation import pace, work
from billing.reconciliation.nightly import start_nightly
from billing.reconciliation.pace import usual_pace
from billing.reconciliation.runs import claim_run, start_run, stop_run
from billing.reconciliation.selectors import health, latest_run, open_drifts_by_kind
from billing.reconciliation.steps import STEPS
from billing.reconciliation.work import work_reconciliations
from entitlements.models import Grant
from keystore.models import AuditEntry
from tests.billing.reconciliation.conftest import at_stripe
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def two(shop, settle, monkeypatch):
    """Two subscribers; nobody naps between tries."""
    monkeypatch.setattr(pace, "NAPS", (0, 0, 0))
    shop.sell_to("alice", "bob")
    settle()
    return shop


def books():
    return list(Grant.objects.order_by("pk").values_list("pk", "valid_to", "revoked_at"))


@pytest.mark.parametrize("path", ["/v1/subscriptions", "/v1/customers"])
def test_an_empty_list_fails_the_run_and_changes_nothing(two, look, stripe_world, path):
    before = books()
    stripe_world.faults.add(f"GET {path}", "empty_list")

    run = look(repair=["all"])

    assert run.state == "failed"
    assert "Stripe lists only 0 of the 2" in run.problem
    assert (books(), Drift.objects.count()) == (before, 0)
    assert ListedObject.objects.count() == 0


def test_an_outage_is_waited_for_and_then_fails_the_run(two, look, stripe_world):
    stripe_world.faults.add("GET /v1/subscriptions", "rate_limit")

    run = look(repair=["all"], at_most=60)

    assert (run.state, run.found) == ("failed", 0)
    assert "Stripe gave no answer for 15 minutes" in run.problem


def test_a_short_outage_only_delays(two, look, stripe_world):
    stripe_world.faults.add("GET /v1/*", "reset_before", times=6)
    stripe_world.faults.add("GET /v1/*", "rate_limit", times=6)

    assert look().state == "done"


def test_another_worker_goes_on_after_a_crash(two, clock, stripe_world):
    start_run(project=None, mode=RunMode.DRY_RUN, days_back=None, actor="system", at=clock())
    dead = claim_run(pace=usual_pace(), at=clock())
    for _ in range(3):
        STEPS[dead.run.step](dead, clock)
    assert dead.run.step == "list charge"

    assert work_reconciliations(clock=clock) == 0  # the lease holds
    clock.advance(seconds=61)
    work_reconciliations(clock=clock)

    run = ReconciliationRun.objects.get()
    assert (run.state, run.found, run.compared) == ("done", 0, 10)
    with pytest.raises(work.LeaseLost):
        STEPS["list charge"](dead, clock)


def test_a_stopped_run_goes_on_no_more(two, clock):
    run = start_run(project=None, mode=RunMode.DRY_RUN, days_back=None, actor="system", at=clock())
    held = claim_run(pace=usual_pace(), at=clock())
    stop_run(run=run, actor="staff:sam", reason="not now", at=clock())

    with pytest.raises(work.LeaseLost):
        STEPS[""](held, clock)
    assert ReconciliationRun.objects.get().state == "stopped"


def test_what_just_changed_at_stripe_is_not_reported_yet(two, look, clock):
    bob = two.subscription("bob")
    at_stripe(f"/v1/subscriptions/{bob.stripe_subscription_id}", cancel_at_period_end=True)

    assert look().found == 0
    clock.advance(minutes=10)

    assert look().found == 1
    drift = Drift.objects.get()
    assert (drift.kind, drift.field) == ("subscription_period_differs", "cancel_at")
    assert drift.cause.startswith("Missed event: Stripe told of it by customer.subscription.upd")


def test_nothing_flaps_while_webhooks_are_worked_off(two, look, clock):
    bob = two.subscription("bob")
    at_stripe(f"/v1/subscriptions/{bob.stripe_subscription_id}", cancel_at_period_end=True)
    clock.advance(minutes=10)
    fetch_missed_events(at=clock())
    while work_due(clock=clock):
        pass
    grants, entries = books(), AuditEntry.objects.filter(act__startswith="grant").count()

    for _ in range(2):
        assert look(repair=["all"]).found == 0
        while work_due(clock=clock):
            pass

    assert books() == grants
    assert AuditEntry.objects.filter(act__startswith="grant").count() == entries


def test_a_difference_that_somebody_mended_is_gone(two, look):
    two.change(two.subscription("bob"), status="past_due")
    assert look().found == 1

    two.sync("bob")
    two.clock.advance(seconds=1)
    look()

    assert Drift.objects.get().state == "gone"


def test_a_difference_that_stays_is_one_open_row(two, look):
    two.change(two.subscription("bob"), status="past_due")
    look()
    second = look()

    assert Drift.objects.get().run == second
    assert open_drifts_by_kind()["subscription_status_differs"] == 1


def test_an_ignored_difference_is_not_reported_until_it_changes(two, look):
    from billing.reconciliation.drifts import ignore_drift

    two.change(two.subscription("bob"), quantity=4)
    look()
    ignore_drift(drift=Drift.objects.get(), actor="staff:sam", reason="known", at=NOON)

    assert look().found == 0
    two.change(two.subscription("bob"), quantity=5)
    assert look().found == 1


def test_a_project_compares_its_own_alone(two, look, orbit):
    two.change(two.subscription("bob"), status="past_due")

    assert look(project=orbit).found == 0
    assert look(project=two.project).found == 1


def test_beat_starts_one_run_a_day_also_after_downtime(db, settings):
    settings.RECONCILIATION_SCHEDULE_HOUR = 13

    assert start_nightly(at=NOON) is None
    first = start_nightly(at=NOON + timedelta(hours=7))
    ReconciliationRun.objects.filter(pk=first.pk).update(state="done")
    assert start_nightly(at=NOON + timedelta(hours=8)) is None
    assert start_nightly(at=NOON + timedelta(days=1, hours=1)).started_by == "system"
    settings.RECONCILIATION_ENABLED = False
    assert start_nightly(at=NOON + timedelta(days=2, hours=2)) is None


def test_a_run_that_finds_something_is_reported_by_e_mail_once(two, look, settings, clock):
    settings.ALERT_EMAILS = ["desk@example.com"]
    two.change(two.subscription("bob"), status="past_due")

    run = look()
    work_reconciliations(clock=clock)

    (letter,) = mail.outbox
    assert letter.subject == "Latchkey: 1 differences with Stripe, 0 repaired"
    assert "subscription_status_differs: 1 found, 1 open" in letter.body
    assert latest_run() == run
    assert (health(at=clock()).open_drifts, health(at=clock()).is_well) == (1, False)
