"""Staff, apps and the command line start comparisons, watch them, and settle what was found."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from billing.models import Drift, ReconciliationRun, RunMode
from billing.reconciliation.runs import start_run
from keystore.models import AuditEntry
from tests.billing.admin.conftest import say
from tests.conftest import NOON
from tests.staff import client_of

LIST = "/api/v1/admin/reconciliations"


@pytest.fixture
def run(journal):
    return ReconciliationRun.objects.create(
        project=journal, state="done", started_by="staff:sam", found=2, finished_at=NOON
    )


@pytest.fixture
def drifts(run, journal, alice):
    return [
        Drift.objects.create(
            run=run,
            project=journal,
            consumer=alice,
            kind="key_missing",
            object_id=f"sub_{number}",
            stripe_customer_id="cus_1",
            field="key",
            ours="none",
            stripes="issued",
            cause="a fault",
        )
        for number in (1, 2)
    ]


def page(run):
    return reverse("admin:billing_reconciliationrun_change", args=[run.pk])


def settle(client, run, **posted):
    address = reverse("admin:billing_reconciliationrun_settle", args=[run.pk])
    return client.post(address, {"deed_reason": "Found at night", **posted}, follow=True)


def start_dialog(client, **asked):
    said = say("Look", **{"how": "dry_run", **asked})
    return client.post(
        reverse("admin:billing_reconciliationrun_start"),
        said,
        headers={"hx-request": "true"},
    )


def test_the_page_of_a_run_shows_its_differences_by_kind(run, drifts):
    body = client_of("Operator").get(page(run)).content.decode()

    assert "2 found, 2 open, 0 repaired" in body
    assert "sub_1" in body
    assert "a fault" in body


def test_the_page_says_what_is_too_young_to_be_compared(run):
    ReconciliationRun.objects.update(started_at=NOON)

    said = client_of("Operator").get(page(run)).content.decode()
    assert "Left out is what changed after 2026-03-01 11:55 UTC" in said


def test_ticked_differences_are_put_in_line(run, drifts):
    answer = settle(client_of("Operator"), run, act="repair", drift=[drifts[0].pk])

    assert "1 of 1 differences are in line to be repaired." in answer.content.decode()
    waiting = Drift.objects.get(repair_wanted_at__isnull=False)
    assert (waiting, waiting.repair_wanted_by) == (drifts[0], "staff:operator")


def test_all_open_differences_are_put_in_line(run, drifts):
    settle(client_of("Operator"), run, act="repair_all")

    assert Drift.objects.filter(repair_wanted_at__isnull=False).count() == 2


def test_an_ignored_difference_says_why(run, drifts):
    settle(client_of("Operator"), run, act="ignore", drift=[drifts[0].pk])

    drifts[0].refresh_from_db()
    assert (drifts[0].state, drifts[0].note) == ("ignored", "Found at night")
    assert AuditEntry.objects.get(act="drift.ignore").reason == "Found at night"


def test_without_a_reason_nothing_is_done(run, drifts):
    settle(client_of("Operator"), run, act="repair_all", deed_reason=" ")
    settle(client_of("Operator2"), run, act="ignore", drift=[drifts[0].pk], deed_reason="")

    assert Drift.objects.filter(state="open", repair_wanted_at=None).count() == 2


@pytest.mark.parametrize(
    ("role", "may"),
    [("Operator", True), ("Finance", True), ("Support", True), ("Read-only", False)],
)
def test_who_may_repair(run, drifts, role, may):
    settle(client_of(role), run, act="repair_all")

    assert Drift.objects.filter(repair_wanted_at__isnull=False).exists() is may


@pytest.mark.parametrize(
    ("role", "may"),
    [("Operator", True), ("Finance", True), ("Support", False), ("Read-only", False)],
)
def test_who_may_start(db, role, may):
    start_dialog(client_of(role))

    assert ReconciliationRun.objects.exists() is may


def test_starting_a_repair_without_a_kind_is_refused_in_the_dialog(db):
    answer = start_dialog(client_of("Operator"), how="repair")

    assert "Name the kinds to repair" in answer.content.decode()
    assert not ReconciliationRun.objects.exists()


def test_a_second_run_of_the_same_reach_is_refused(db):
    start_dialog(client_of("Operator"))

    assert "is under way" in start_dialog(client_of("Finance")).content.decode()
    assert ReconciliationRun.objects.count() == 1


def test_a_run_is_stopped_with_a_reason(run):
    started = start_run(project=None, mode=RunMode.DRY_RUN, days_back=None, actor="system", at=NOON)
    address = reverse("admin:billing_reconciliationrun_stop", args=[started.pk])
    client_of("Operator").post(address, say("Wrong day"))

    started.refresh_from_db()
    assert (started.state, started.problem) == ("stopped", "Wrong day")


def test_the_drift_inbox_asks_for_a_reason_and_then_repairs(run, drifts):
    client = client_of("Operator")
    asked = {"action": "repair_selected", "_selected_action": [each.pk for each in drifts]}
    address = reverse("admin:billing_drift_changelist")

    assert "2 differences." in client.post(address, asked).content.decode()
    client.post(address, {**asked, "deed_reason": "Put it right"})

    assert Drift.objects.filter(repair_reason="Put it right").count() == 2


def test_an_app_starts_a_comparison_of_its_project(api, journal):
    answer = api.post(LIST, {"mode": "dry_run"}, format="json")

    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    run = ReconciliationRun.objects.get()
    assert (run.project, run.public_id) == (journal, answer.json()["id"])
    assert AuditEntry.objects.get(act="reconciliation.start").actor.startswith("app:")


@pytest.mark.parametrize(
    "wish",
    [
        {"mode": "erase"},
        {"mode": "repair"},
        {"mode": "repair", "repair_kinds": ["everything"]},
        {"days_back": 0},
        {"days_back": "many"},
    ],
)
def test_bad_wishes_start_nothing(api, wish):
    answer = api.post(LIST, wish, format="json")

    assert answer.status_code in (400, 422)
    assert not ReconciliationRun.objects.exists()


def test_an_app_sees_what_was_found_in_its_own_project_alone(api, run, drifts, orbit):
    other = ReconciliationRun.objects.create(project=orbit, started_by="system")
    everywhere = ReconciliationRun.objects.create(started_by="system")

    assert [each["id"] for each in api.get(LIST).json()["data"]] == [run.public_id]
    shown = api.get(f"{LIST}/{run.public_id}").json()
    assert [(one["kind"], one["user_id"]) for one in shown["drifts"]] == [
        ("key_missing", "alice"),
        ("key_missing", "alice"),
    ]
    for hidden in (other, everywhere):
        assert api.get(f"{LIST}/{hidden.public_id}").status_code == 404


def test_a_key_without_the_scope_starts_nothing(journal, backend):
    from rest_framework.test import APIClient

    from keystore.services import issue_key

    issued = issue_key(
        project=journal, owner=backend, scopes=("keys:read",), actor="system", at=NOON
    )
    client = APIClient(headers={"X-API-Key": issued.plaintext})

    answer = client.post(LIST, json.dumps({}), content_type="application/json")

    assert answer.status_code == 403
    assert not ReconciliationRun.objects.exists()


def test_the_command_refuses_what_is_unknown(journal):
    with pytest.raises(CommandError, match="no project 'moon'"):
        call_command("reconcile", "--project", "moon")
    with pytest.raises(CommandError, match="no kind of difference"):
        call_command("reconcile", "--repair", "everything")
    assert not ReconciliationRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_command_works_here_and_says_how_far_it_is(journal, stripe_world):
    said = StringIO()

    call_command("reconcile", "--project", "journal", "--wait", stdout=said)

    assert "begins" in said.getvalue()
    assert said.getvalue().strip().endswith("done: 0 compared, 0 found, 0 repaired")
