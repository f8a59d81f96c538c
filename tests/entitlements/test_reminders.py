"""Telling givers what ends within a week."""

import smtplib

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail

from entitlements.models import Grant
from entitlements.reminders import remind_givers
from entitlements.services import renew_grant
from tests.conftest import NOON
from tests.entitlements.deeds import DAY, give, revoke, subscribe


@pytest.fixture
def sam(db):
    return User.objects.create_user("sam", email="sam@ours.example", is_staff=True)


def gift(consumer, end=5 * DAY, **more):
    values = {"idempotency_key": "admin:1", "granted_by": "staff:sam", **more}
    return give(consumer, valid_to=NOON + end, **values)


def test_giver_is_told_once_what_ends_for_whom_and_where_to_renew(sam, alice, labs):
    grant = gift(alice, feature=labs, ticket="T-4")

    assert [remind_givers(at=NOON), remind_givers(at=NOON + DAY)] == [1, 0]

    (letter,) = mail.outbox
    assert letter.to == ["sam@ours.example"]
    assert letter.subject == "1 grant of yours will end within a week"
    assert "labs for alice ends at 2026-03-06 12:00 UTC" in letter.body
    assert "given because: VIP pilot, ticket T-4" in letter.body
    assert f"/admin/entitlements/grant/{grant.pk}/change/" in letter.body


def test_several_are_told_in_one_letter(sam, alice, bob, labs):
    gift(alice, feature=labs)
    gift(bob, feature=labs, end=6 * DAY)

    assert remind_givers(at=NOON) == 2
    assert [letter.subject for letter in mail.outbox] == [
        "2 grants of yours will end within a week"
    ]


def test_another_end_earns_another_reminder(sam, alice, labs):
    grant = gift(alice, feature=labs)
    remind_givers(at=NOON)
    renew_grant(
        grant=grant,
        valid_to=NOON + 30 * DAY,
        reason="more",
        ticket="",
        actor="staff:kim",
        at=NOON,
    )

    assert remind_givers(at=NOON + 22 * DAY) == 0
    assert remind_givers(at=NOON + 24 * DAY) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"end": 8 * DAY},
        {"granted_by": "support@spacehq"},
        {"granted_by": "staff:gone"},
        {"idempotency_key": "an app said it was staff"},
    ],
)
def test_nobody_is_told_of_what_is_not_theirs_or_not_soon(sam, alice, labs, more):
    gift(alice, feature=labs, **more)

    assert remind_givers(at=NOON) == 0
    assert mail.outbox == []


def test_subscriptions_denials_and_revoked_grants_are_not_told(sam, alice, bob, pro, export, labs):
    subscribe(alice, pro, until=5 * DAY)
    revoke(alice, export, key="admin:2")
    gift(bob, feature=labs)
    Grant.objects.filter(consumer=bob).update(revoked_at=NOON)

    assert remind_givers(at=NOON) == 0


def test_address_is_hidden_from_whoever_may_not_see_it(sam, journal, labs):
    gift(journal.consumers.create(external_id="carol@example.com"), feature=labs)
    remind_givers(at=NOON)
    Grant.objects.update(reminded_of=None)
    sam.user_permissions.add(Permission.objects.get(codename="view_personal_data"))
    remind_givers(at=NOON)

    hidden, told = (letter.body for letter in mail.outbox)
    assert "c***@example.com" in hidden
    assert "carol@example.com" not in hidden
    assert "carol@example.com" in told


def test_letter_that_could_not_be_sent_is_sent_later(sam, alice, labs, monkeypatch):
    gift(alice, feature=labs)

    def refuse(*_: object, **__: object) -> None:
        raise smtplib.SMTPServerDisconnected("gone")

    with monkeypatch.context() as broken:
        broken.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
        assert remind_givers(at=NOON) == 0

    assert remind_givers(at=NOON) == 1
