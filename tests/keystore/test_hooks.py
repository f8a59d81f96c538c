"""Endpoints are made, changed, rolled and switched off, each act on record."""

from datetime import timedelta

import pytest

from config.errors import Conflict, InvalidInput
from config.paths import ROOT
from keystore import hooks
from keystore.models import AuditEntry, HookDelivery, HookEndpoint
from keystore.outbox import KINDS, TEST_KIND, tell
from keystore.seal import unseal
from tests.conftest import NOON

URL = "https://receiver.example/hooks"
SAM = {"actor": "staff:sam", "reason": "asked for"}


@pytest.fixture
def made(journal):
    return hooks.make_endpoint(project=journal, url=URL, at=NOON, **SAM)


@pytest.fixture
def endpoint(made):
    return made.endpoint


def say(project):
    tell(project=project, kind="key.created", data={"id": "key_1"}, at=NOON)
    return HookDelivery.objects.latest("pk")


def end_all(state):
    HookDelivery.objects.update(state=state, attempts=10, finished_at=NOON)


def test_secret_is_shown_once_and_kept_sealed(made):
    stored = HookEndpoint.objects.get()

    assert unseal(stored.sealed_secret) == made.secret
    assert made.secret.encode() not in bytes(stored.sealed_secret)
    assert made.secret not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"url": "https://10.0.0.1/"}, "not a public address"),
        ({"kinds": ["key.lost"]}, "no kind 'key.lost'"),
        ({"kinds": [TEST_KIND]}, "no kind 'test'"),
        ({"description": "x" * 201}, "at most 200"),
        ({"description": "two\nlines"}, "on one line"),
    ],
)
def test_bad_terms_are_refused_when_made_and_when_changed(journal, endpoint, terms, said):
    wish = {"url": "https://receiver.example/2", "kinds": [], "description": "", **terms}

    with pytest.raises(InvalidInput, match=said):
        hooks.make_endpoint(project=journal, at=NOON, **wish, **SAM)
    with pytest.raises(InvalidInput, match=said):
        hooks.change_endpoint(endpoint=endpoint, **wish, **SAM)

    assert HookEndpoint.objects.get().url == URL


def test_same_url_twice_is_refused_within_a_project(journal, orbit, endpoint):
    hooks.make_endpoint(project=orbit, url=URL, at=NOON, **SAM)

    with pytest.raises(Conflict, match="already"):
        hooks.make_endpoint(project=journal, url=URL, at=NOON, **SAM)


def test_project_has_a_limit_of_endpoints(journal, monkeypatch, endpoint):
    monkeypatch.setattr(hooks, "MOST_ENDPOINTS", 1)

    with pytest.raises(Conflict, match="at most 1"):
        hooks.make_endpoint(project=journal, url=f"{URL}/2", at=NOON, **SAM)


def test_change_is_on_record_and_no_change_is_not(endpoint):
    terms = {"url": URL, "kinds": ["key.created", "key.created"], "description": "ours"}

    assert hooks.change_endpoint(endpoint=endpoint, **terms, **SAM)
    assert not hooks.change_endpoint(endpoint=endpoint, **terms, **SAM)

    entry = AuditEntry.objects.get(act="hook.change")
    assert (entry.before["kinds"], entry.after["kinds"]) == ([], ["key.created"])
    assert (entry.actor, entry.reason, entry.project) == (
        "staff:sam",
        "asked for",
        endpoint.project,
    )


def test_second_roll_within_a_day_would_lock_receivers_out(endpoint):
    hooks.roll_secret(endpoint=endpoint, at=NOON, **SAM)

    with pytest.raises(hooks.StillRolling):
        hooks.roll_secret(endpoint=endpoint, at=NOON + timedelta(hours=23), **SAM)

    assert hooks.roll_secret(endpoint=endpoint, at=NOON + timedelta(hours=24), **SAM).secret


def test_endpoint_that_is_switched_off_hears_nothing_until_it_is_on_again(journal, endpoint):
    waiting = say(journal)

    assert hooks.disable_endpoint(endpoint=endpoint, at=NOON, **SAM)
    assert not hooks.disable_endpoint(endpoint=endpoint, at=NOON, **SAM)
    assert say(journal) == waiting
    assert hooks.enable_endpoint(endpoint=endpoint, **SAM)
    assert not hooks.enable_endpoint(endpoint=endpoint, **SAM)

    waiting.refresh_from_db()
    assert waiting.state == "dropped"
    assert say(journal) != waiting
    assert AuditEntry.objects.get(act="hook.disable").after == {"dropped": 1}


def test_test_message_goes_to_the_one_endpoint_whatever_it_wants(journal, endpoint):
    hooks.change_endpoint(
        endpoint=endpoint, url=URL, kinds=["refund.created"], description="", **SAM
    )
    hooks.make_endpoint(project=journal, url=f"{URL}/2", at=NOON, **SAM)

    sent = hooks.send_test(endpoint=endpoint, at=NOON, **SAM)

    assert HookDelivery.objects.get() == sent
    assert sent.message.kind == "test"


def test_nothing_is_sent_to_an_endpoint_that_is_off(journal, endpoint):
    lost = say(journal)
    hooks.disable_endpoint(endpoint=endpoint, at=NOON, **SAM)

    with pytest.raises(hooks.EndpointIsOff):
        hooks.send_test(endpoint=endpoint, at=NOON, **SAM)
    with pytest.raises(hooks.EndpointIsOff):
        hooks.redeliver(delivery=lost, at=NOON, **SAM)
    with pytest.raises(hooks.EndpointIsOff):
        hooks.redeliver_failed(endpoint=endpoint, at=NOON, **SAM)


@pytest.mark.parametrize("state", ["delivered", "failed", "dropped", "pending"])
def test_delivery_begins_again_with_all_its_tries(journal, endpoint, state):
    lost = say(journal)
    end_all(state)

    hooks.redeliver(delivery=lost, at=NOON + timedelta(days=1), **SAM)

    lost.refresh_from_db()
    assert (lost.state, lost.attempts, lost.finished_at) == ("pending", 0, None)
    assert lost.next_attempt_at == NOON + timedelta(days=1)
    assert AuditEntry.objects.get(act="hook.redeliver").before == {"state": state, "attempts": 10}


def test_all_that_failed_since_a_time_begins_again(journal, endpoint):
    early, late, arrived = say(journal), say(journal), say(journal)
    end_all("failed")
    HookDelivery.objects.filter(pk=early.pk).update(created_at=NOON - timedelta(days=2))
    HookDelivery.objects.filter(pk=arrived.pk).update(state="delivered")

    number = hooks.redeliver_failed(
        endpoint=endpoint, since=NOON - timedelta(days=1), at=NOON, **SAM
    )

    assert number == 1
    assert HookDelivery.objects.get(state="pending") == late
    assert hooks.redeliver_failed(endpoint=endpoint, at=NOON, **SAM) == 1
    assert hooks.redeliver_failed(endpoint=endpoint, at=NOON, **SAM) == 0


def test_redelivery_waits_for_no_hold(journal, endpoint):
    lost = say(journal)
    HookEndpoint.objects.update(held_until=NOON + timedelta(hours=1))

    hooks.redeliver(delivery=lost, at=NOON, **SAM)

    assert HookEndpoint.objects.get().held_until is None


def test_removed_endpoint_leaves_its_address_in_the_audit_trail(journal, endpoint):
    say(journal).tries.create(number=1, milliseconds=1, status=500)

    hooks.remove_endpoint(endpoint=endpoint, **SAM)

    assert (HookEndpoint.objects.count(), HookDelivery.objects.count()) == (0, 0)
    assert AuditEntry.objects.get(act="hook.remove").before["url"] == URL
    with pytest.raises(Conflict, match="removed"):
        hooks.send_test(endpoint=HookEndpoint(pk=0), at=NOON, **SAM)


def test_kinds_are_those_that_are_documented():
    told = (ROOT / "docs/hooks.md").read_text()
    # Several of one subject share a row: `key.created`, `.rotated` and so on.
    short = {kind: f"`.{kind.partition('.')[2]}`" for kind in KINDS}
    assert [kind for kind in KINDS if f"`{kind}`" not in told and short[kind] not in told] == []
    assert len(KINDS) == len(set(KINDS)) == 27
