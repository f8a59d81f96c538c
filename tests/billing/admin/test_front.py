"""The first page, the badge, and what each role finds in the navigation."""

from datetime import timedelta

import pytest

from billing.models import Dispute, Drift, Payment, ReconciliationRun
from config.clock import now
from tests.billing.admin.conftest import an_event
from tests.staff import client_of


def test_first_page_counts_what_waits(support, parked, given):
    an_event("evt_fresh", state="pending")

    counts = {one.title: one for one in support.get("/admin/").context["counts"]}

    assert counts["Events parked"].number == 1
    assert counts["Events parked"].alarming
    assert counts["Events waiting"].number == 1
    assert counts["Grants that end within a week"].number == 0


def test_every_count_leads_to_its_rows(superuser, parked):
    for count in superuser.get("/admin/").context["counts"]:
        assert superuser.get(count.link).status_code == 200


def test_staff_without_permissions_sees_no_counts(db):
    assert client_of("none").get("/admin/").context["counts"] == []


@pytest.mark.parametrize(
    ("sandbox", "live", "badge"),
    [
        (True, False, "SANDBOX"),
        (False, False, "TEST"),
        (False, True, "LIVE"),
    ],
)
def test_badge_says_whose_money_it_is(support, settings, sandbox, live, badge):
    settings.STRIPE_USES_SANDBOX = sandbox
    settings.STRIPE_LIVE_MODE = live

    assert support.get("/admin/").context["environment"][0] == badge


def test_stranger_is_sent_to_the_login(client, db):
    answer = client.get("/admin/keystore/consumer/")

    assert (answer.status_code, answer.url) == (
        302,
        "/admin/login/?next=/admin/keystore/consumer/",
    )


def test_lag_is_the_age_of_the_oldest_event_that_waits(support, db):
    an_event("evt_old", state="pending", received_at=now() - timedelta(minutes=10))
    an_event("evt_done", state="done", received_at=now() - timedelta(hours=3))

    lag = count(support, "Webhook lag")

    assert (lag.number, lag.alarming, lag.hint) == ("10 min", True, "latest webhook 10 min ago")


def test_no_event_that_waits_is_no_lag(support, db):
    lag = count(support, "Webhook lag")

    assert (lag.number, lag.alarming, lag.hint) == ("0 s", False, "no webhook came yet")


def test_open_differences_say_when_stripe_was_last_compared(support, journal):
    run = ReconciliationRun.objects.create(
        state="done",
        started_by="system",
        created_at=now() - timedelta(hours=5),
        finished_at=now(),
    )
    for state, number in (("open", 1), ("repaired", 2)):
        Drift.objects.create(run=run, project=journal, kind="x", object_id=number, state=state)

    drift = count(support, "Differences with Stripe")

    assert (drift.number, drift.alarming, drift.hint) == (1, True, "last compared 5 h ago")


def test_failed_comparison_is_told(support):
    ReconciliationRun.objects.create(state="failed", started_by="system", created_at=now())

    hint = count(support, "Differences with Stripe").hint

    assert hint == "the last comparison failed 0 s ago"


def test_open_disputes_are_alarming_and_settled_ones_are_not(support, alice):
    payment = Payment.objects.create(
        **made_for(alice),
        stripe_charge_id="ch_1",
        status="succeeded",
        captured_minor=100,
        currency="usd",
    )
    for status in ("needs_response", "won"):
        Dispute.objects.create(
            **made_for(alice),
            payment=payment,
            stripe_dispute_id=f"dp_{status}",
            status=status,
            amount_minor=100,
            currency="usd",
        )

    disputes = count(support, "Disputes open")

    assert (disputes.number, disputes.alarming) == (1, True)


def count(client, title):
    return {one.title: one for one in client.get("/admin/").context["counts"]}[title]


def made_for(consumer):
    at = now()
    return {
        "project": consumer.project,
        "consumer": consumer,
        "created_at": at,
        "synced_at": at,
    }
