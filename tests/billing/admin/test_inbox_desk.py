"""The webhook desk: groups, one event with its tries and effects, replays of ranges."""

import pytest

from billing import attempts, replays
from billing.models import InboxEvent, InboxState, ReplayRun
from config.clock import now
from keystore import audit
from keystore.correlation import bound
from keystore.models import AuditEntry
from tests.billing.admin.conftest import an_event

LIST = "/admin/billing/inboxevent/"
RANGE = f"{LIST}replay/"
FAILURE = "Stripe has no …"


def failing(number, **more):
    return an_event(
        f"evt_{number}", **{"state": "parked", "failure": FAILURE, "last_error": "x", **more}
    )


def asked(**more):
    return {"type": "", "state": "", "failure": "", "deed_reason": "a ticket", **more}


def test_failures_stand_together_with_their_number(support):
    failing(1)
    failing(2)
    failing(3, type="invoice.paid", state="pending")

    groups = support.get(LIST).context["groups"]

    assert [(one.type, one.failure, one.state, one.number) for one in groups] == [
        ("customer.updated", FAILURE, "parked", 2),
        ("invoice.paid", FAILURE, "pending", 1),
    ]


def test_a_group_leads_to_its_events(support):
    failing(1)
    failing(2, failure="another")

    page = support.get(LIST, {"state__exact": "parked", "failure": FAILURE}).content.decode()

    assert "evt_1" in page
    assert "evt_2" not in page


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("Stripe has no /v1/charges/ch_3Nabc.", "Stripe has no /v1/charges/…."),
        ("KeyError('x') at 0x7f12ab", "KeyError('x') at …"),
        ("rate_limit after 12 tries\nmore", "rate_limit after … tries more"),
    ],
)
def test_ids_and_numbers_do_not_tell_failures_apart(error, kind):
    assert attempts.kind_of(error) == kind


def test_one_event_shows_its_tries_and_effects(superuser, journal, alice, parked):
    with bound(parked.correlation_id):
        audit.record(actor="stripe", act="grant.give", target=alice, project=journal)
        attempts.note_attempts(events=[parked], outcome="parked", said="no such price", at=now())

    page = superuser.get(f"{LIST}{parked.pk}/change/")

    assert [one["said"] for one in page.context["audit"]] == ["grant.give"]
    assert "no such price" in page.content.decode()


def test_an_event_whose_object_is_gone_says_so(support):
    event = an_event("evt_1", state="done", note="synced alice; not at Stripe: re_1")

    assert "is gone at Stripe" in support.get(f"{LIST}{event.pk}/change/").content.decode()


def test_a_range_is_replayed_as_a_run_with_progress(support):
    for number in range(3):
        failing(number)
    failing(9, type="invoice.paid")

    page = support.post(RANGE, asked(type="customer.updated", state="parked"), follow=True)
    assert "0 of 3 events" in page.content.decode()
    assert page["Refresh"] == "2"
    replays.work_replays(clock=now)

    run = ReplayRun.objects.get()
    assert (run.state, run.handled, run.total) == ("done", 3, 3)
    assert InboxEvent.objects.filter(state=InboxState.PENDING).count() == 3
    assert AuditEntry.objects.filter(act="inbox.replay", reason="a ticket").count() == 3
    page = support.get(f"/admin/billing/replayrun/{run.pk}/change/")
    assert "Refresh" not in page.headers


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "Choose events"),
        ({"type": "nothing.like"}, "No event is chosen"),
        ({"since": "2040-01-01T00:00"}, "begins in the future"),
        ({"since": "2026-02-01T00:00", "until": "2026-01-01T00:00"}, "ends before it begins"),
        ({"since": "yesterday"}, "Enter a valid date"),
        ({"state": "lost"}, "Select a valid choice"),
        ({"type": "customer.updated", "deed_reason": ""}, "This field is required"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_on_the_page(support, parked, more, said):
    page = support.post(RANGE, asked(**more))

    assert said in page.content.decode()
    assert ReplayRun.objects.count() == 0


@pytest.mark.parametrize("page", [RANGE, f"{LIST}sweep/"])
def test_reader_may_neither_replay_nor_sweep(reader, parked, page):
    assert reader.get(page).status_code == 403
    assert reader.post(page, asked(type="customer.updated", days=3)).status_code == 403
    assert ReplayRun.objects.count() == 0


def test_a_replay_can_be_stopped(support, parked):
    support.post(RANGE, asked(state="parked"))
    run = ReplayRun.objects.get()

    support.post(
        f"/admin/billing/replayrun/{run.pk}/stop/", {"_form_submitted": "on", "deed_reason": "no"}
    )
    replays.work_replays(clock=now)

    run.refresh_from_db()
    parked.refresh_from_db()
    assert (run.state, parked.state) == ("stopped", "parked")


def test_a_sweep_of_some_days_is_on_record_and_puts_the_place_back(support):
    page = support.post(f"{LIST}sweep/", {"days": 3, "deed_reason": "downtime"}, follow=True)

    place = page.context["sweep"]
    assert (now() - place.read_until).days == 3
    assert AuditEntry.objects.get(act="inbox.sweep").reason == "downtime"


def test_a_sweep_reaches_no_further_than_stripe_s_list(support):
    page = support.post(f"{LIST}sweep/", {"days": 31, "deed_reason": "downtime"})

    assert "less than or equal to 30" in page.content.decode()


def test_the_page_says_when_webhooks_are_silent(support):
    from datetime import timedelta

    old = now() - timedelta(minutes=20)
    an_event("evt_1", state="done", deliveries=0, stripe_created_at=old, received_at=old)

    assert "No webhook arrives." in support.get(LIST).content.decode()


def test_only_a_replay_that_runs_offers_to_stop(support, parked):
    support.post(RANGE, asked(state="parked"))
    run = ReplayRun.objects.get()
    page = f"/admin/billing/replayrun/{run.pk}/change/"

    assert f"/replayrun/{run.pk}/stop/" in support.get(page).content.decode()
    ReplayRun.objects.update(state="done")
    assert f"/replayrun/{run.pk}/stop/" not in support.get(page).content.decode()


REPLAY = {"_form_submitted": "on", "deed_reason": "The price was made again"}


@pytest.fixture
def looked(support, parked):
    """A dry run over what is parked that has ended."""
    support.post(RANGE, asked(state="parked", dry_run="1"))
    ReplayRun.objects.update(state="done", handled=1)
    return ReplayRun.objects.get()


def test_a_finished_dry_run_offers_to_replay_its_events(support, looked):
    page = f"/admin/billing/replayrun/{looked.pk}/"
    assert f"/replayrun/{looked.pk}/replay_these/" in support.get(f"{page}change/").content.decode()

    failing(2)  # since then
    answer = support.post(f"{page}replay_these/", REPLAY, headers={"hx-request": "true"})
    run = ReplayRun.objects.exclude(pk=looked.pk).get()
    assert answer.headers["HX-Redirect"] == f"/admin/billing/replayrun/{run.pk}/change/"
    assert (run.dry_run, run.total, run.event_state) == (False, looked.total, "parked")
    assert AuditEntry.objects.get(act="inbox.replay_range").reason == REPLAY["deed_reason"]


@pytest.mark.parametrize(
    "changed", [{"state": "running"}, {"state": "stopped"}, {"dry_run": False}]
)
def test_only_a_dry_run_that_has_ended_is_replayed(support, looked, changed):
    ReplayRun.objects.update(**changed)

    page = f"/admin/billing/replayrun/{looked.pk}/"
    assert "/replay_these/" not in support.get(f"{page}change/").content.decode()
    answer = support.post(f"{page}replay_these/", REPLAY, headers={"hx-request": "true"})
    assert "Only a dry run that has ended" in answer.content.decode()
    assert ReplayRun.objects.count() == 1


def test_a_dry_run_of_which_nothing_is_left_says_so(support, looked):
    InboxEvent.objects.update(state="done")

    address = f"/admin/billing/replayrun/{looked.pk}/replay_these/"
    answer = support.post(address, REPLAY, headers={"hx-request": "true"})
    assert "No event is chosen by this" in answer.content.decode()
    assert ReplayRun.objects.count() == 1
