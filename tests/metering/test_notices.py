"""Warnings at the thresholds of a limit: once a period, by hook and by e-mail."""

from datetime import timedelta

import pytest
from django.core import mail

from keystore.models import HookEndpoint, OutboxMessage
from metering.models import QuotaBalance, QuotaNotice
from metering.notices import mail_warnings, reached, warn_quotas
from metering.quotas import take
from tests.conftest import NOON
from tests.metering.quota_cast import give, metered, sell


@pytest.fixture
def tokens(journal, alice):
    HookEndpoint.objects.create(project=journal, url="https://hear.example.com/", sealed_secret=b"")
    give(alice, plan=sell(journal, "tokens", limit=10))
    return metered(journal)


def use(consumer, meter, quantity, at=NOON):
    take(consumer=consumer, meter=meter, quantity=quantity, event_id="", at=at)


def told():
    messages = OutboxMessage.objects.filter(kind__startswith="quota.").order_by("pk")
    return [(message.kind, message.data["threshold"]) for message in messages]


def test_below_the_threshold_nothing_is_told(alice, tokens):
    use(alice, tokens, 7)
    assert warn_quotas(at=NOON) == 0
    assert told() == []


def test_threshold_is_told_once(alice, tokens):
    use(alice, tokens, 8)
    assert [warn_quotas(at=NOON), warn_quotas(at=NOON)] == [1, 0]
    use(alice, tokens, 1)
    assert warn_quotas(at=NOON) == 0
    assert told() == [("quota.warning", 80)]


def test_used_up_limit_is_told_as_such(alice, tokens):
    use(alice, tokens, 10)
    assert warn_quotas(at=NOON) == 2
    assert told() == [("quota.warning", 80), ("quota.exceeded", 100)]
    data = OutboxMessage.objects.get(kind="quota.exceeded").data
    assert (data["user_id"], data["meter"], data["limit"], data["used"]) == (
        *("alice", "tokens"),
        *(10, 10),
    )


def test_next_threshold_is_told_when_it_is_reached(alice, tokens):
    for quantity in (8, 2):
        use(alice, tokens, quantity)
        warn_quotas(at=NOON)
    assert told() == [("quota.warning", 80), ("quota.exceeded", 100)]


def test_next_period_tells_again(alice, tokens):
    use(alice, tokens, 8)
    warn_quotas(at=NOON)
    april = NOON + timedelta(days=31)
    use(alice, tokens, 8, at=april)
    assert warn_quotas(at=april) == 1


def test_what_ended_meanwhile_is_no_news(alice, tokens):
    use(alice, tokens, 8)
    assert warn_quotas(at=NOON + timedelta(days=31)) == 0
    assert not QuotaBalance.objects.get().warn_due


def test_larger_limit_warns_anew(journal, alice, tokens):
    use(alice, tokens, 10)
    warn_quotas(at=NOON)
    give(alice, plan=sell(journal, "tokens", limit=20))
    use(alice, tokens, 1)
    assert warn_quotas(at=NOON) == 0
    use(alice, tokens, 6)
    assert warn_quotas(at=NOON) == 1
    assert told()[-1] == ("quota.warning", 80)


def test_meters_may_have_thresholds_of_their_own(alice, tokens):
    tokens.thresholds = [50]
    tokens.save(update_fields=["thresholds"])
    use(alice, tokens, 10)
    warn_quotas(at=NOON)
    assert told() == [("quota.warning", 50)]


@pytest.mark.parametrize("limit", [None, 0])
def test_no_limit_has_no_thresholds(limit):
    assert reached(used=5, limit=limit, thresholds=[80, 100]) == []


def test_consumer_gets_one_mail_with_the_highest(alice, tokens):
    use(alice, tokens, 10)
    warn_quotas(at=NOON)
    assert [mail_warnings(at=NOON), mail_warnings(at=NOON)] == [1, 0]
    sent = mail.outbox[0]
    assert (sent.to, sent.subject) == (
        ["alice@example.com"],
        "Journal: your limit of tokens is used up",
    )
    assert "you have used 10 of 10 of tokens: all" in sent.body
    assert "until 1 April 2026, 00:00 UTC" in sent.body


def test_consumer_without_an_address_gets_none(alice, tokens):
    alice.email = ""
    alice.save(update_fields=["email"])
    use(alice, tokens, 10)
    warn_quotas(at=NOON)
    assert mail_warnings(at=NOON) == 0
    assert not QuotaNotice.objects.filter(mailed_at=None).exists()


def test_mail_that_could_not_be_sent_is_sent_later(alice, tokens, settings):
    use(alice, tokens, 8)
    warn_quotas(at=NOON)
    right, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "tests.metering.deaf.EmailBackend"
    assert mail_warnings(at=NOON) == 0
    settings.EMAIL_BACKEND = right
    assert mail_warnings(at=NOON + timedelta(minutes=1)) == 1


def test_names_cannot_add_headers(journal, alice, tokens):
    journal.name = "Journal\r\nBcc: mallory@example.com"
    journal.save(update_fields=["name"])
    use(alice, tokens, 10)
    warn_quotas(at=NOON)
    mail_warnings(at=NOON)
    assert "\n" not in mail.outbox[0].subject
