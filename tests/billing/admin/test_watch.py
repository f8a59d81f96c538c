"""The pages of promises and jobs."""

import pytest
from django.conf import settings as configuration

from billing.invariants import CHECKS, check_all
from config.clock import now
from keystore import jobs
from tests.billing.admin.conftest import an_event
from tests.conftest import NOON
from tests.staff import client_of

PROMISES, JOBS = "/admin/billing/invariantcheck/", "/admin/keystore/jobrun/"


@pytest.fixture
def all_ran(db):
    for name in configuration.JOB_SCHEDULE:
        jobs.finish(name=name, failed=False, result="7", milliseconds=1, at=now())


def test_a_broken_promise_stands_first_with_its_example_and_cure(operator, parked):
    check_all(at=now())

    page = operator.get(PROMISES)
    first = page.context["promises"][0]
    text = page.content.decode()
    assert first["broken"]
    assert f"/admin/billing/inboxevent/{parked.pk}/change/" in text
    assert "Open the inbox, read the error" in text


def test_check_now_looks_and_says_what_it_found(operator, all_ran):
    page = operator.post(f"{PROMISES}check/", follow=True)

    assert f"All {len(CHECKS)} promises hold." in page.content.decode()


@pytest.mark.parametrize("role", ["Support", "Finance", "Read-only"])
def test_check_now_needs_its_permission(role, db):
    client = client_of(role)

    assert client.get(PROMISES).status_code == 200
    assert "Check now" not in client.get(PROMISES).content.decode()
    assert client.post(f"{PROMISES}check/").status_code == 403


def test_check_now_is_no_link(operator):
    assert operator.get(f"{PROMISES}check/").status_code == 405


@pytest.mark.parametrize("page", [PROMISES, JOBS])
def test_staff_without_permission_sees_neither(page, db):
    assert client_of("none").get(page).status_code == 403


def test_an_overdue_job_is_red_and_a_failed_one_says_why(operator, all_ran):
    jobs.finish(
        name="billing.tasks.work_inbox", failed=True, result="no luck", milliseconds=1, at=NOON
    )

    page = operator.get(JOBS)
    assert page.context["late"] == 0
    assert "failed, 1 in a row" in page.content.decode()
    assert "no luck" in page.content.decode()

    jobs.JobRun.objects.update(succeeded_at=NOON)
    assert operator.get(JOBS).context["late"] == len(configuration.JOB_SCHEDULE)


def test_first_page_counts_what_is_broken_and_what_did_not_run(operator, all_ran):
    jobs.JobRun.objects.filter(name="config.heartbeat").update(succeeded_at=NOON)
    an_event("evt_1", state="parked", last_error="x")
    check_all(at=now())

    counts = {one.title: one for one in operator.get("/admin/").context["counts"]}

    assert counts["Promises broken"].number == 2
    assert counts["Jobs that did not run"].number == 1
    assert counts["Jobs that did not run"].alarming
