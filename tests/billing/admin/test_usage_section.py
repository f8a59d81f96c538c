"""Usage against quota on the consumer page, and giving and taking credits there."""

from datetime import timedelta

import pytest
from django.urls import reverse

from config.clock import now
from keystore.models import AuditEntry
from keystore.staff_sessions import PROVED
from metering.models import CreditPack, FailPolicy
from metering.quotas import take
from metering.services import give_credits
from tests.billing.admin.conftest import say
from tests.conftest import NOON
from tests.metering.quota_cast import give, metered, sell
from tests.staff import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    for place in ("billing.admin.consumers", "billing.admin.consumer_credits"):
        monkeypatch.setattr(f"{place}.now", lambda: NOON)


@pytest.fixture
def tokens(journal, alice):
    give(alice, plan=sell(journal, "tokens", limit=10))
    return metered(journal, name="Tokens")


def page(role, consumer):
    url = reverse("admin:keystore_consumer_change", args=[consumer.pk])
    return client_of(role).get(url).content.decode()


def act(role, name, consumer, **asked):
    url = reverse(f"admin:keystore_consumer_{name}", args=[consumer.pk])
    return client_of(role).post(url, asked)


def wish(**changed):
    return {
        "_form_submitted": "on",
        "credit_meter": "tokens",
        "credit_amount": "5",
        "credit_priority": "10",
        "credit_wish": "admin:1",
        "deed_reason": "Sorry for the outage",
        **changed,
    }


def pack_of(alice, tokens):
    return give_credits(
        consumer=alice,
        meter=tokens,
        amount=5,
        reason="x",
        given_by="t",
        idempotency_key="k",
        actor="t",
        at=NOON,
    )


def test_bars_show_what_is_used(alice, tokens):
    take(consumer=alice, meter=tokens, quantity=9, event_id="", at=NOON)
    shown = page("Support", alice)
    assert "9 of 10" in shown
    assert 'data-tone="near"' in shown
    assert 'value="90"' in shown
    assert "starts anew 2026-04-01 00:00 UTC" in shown


def test_nothing_limited_shows_nothing(alice):
    assert "Usage against quota" not in page("Support", alice)


@pytest.mark.parametrize(("role", "offered"), [("Support", True), ("Finance", False)])
def test_only_who_may_give_is_offered_it(alice, tokens, role, offered):
    assert ("Give credits" in page(role, alice)) is offered


def test_credits_are_given_with_a_reason(alice, tokens):
    answer = act("Support", "give_credits", alice, **wish(credit_end="2026-04-01"))
    assert answer["HX-Redirect"] == reverse("admin:keystore_consumer_change", args=[alice.pk])
    pack = CreditPack.objects.get()
    assert (pack.remaining, pack.priority, f"{pack.expires_at:%Y-%m-%d}") == (5, 10, "2026-04-01")
    entry = AuditEntry.objects.get(act="credits.give")
    assert (entry.actor, entry.reason) == ("staff:support", "Sorry for the outage")


BAD = [
    {"credit_amount": "0"},
    {"credit_amount": "NaN"},
    {"credit_amount": "1e400"},
    {"credit_meter": "nothing"},
    {"credit_priority": "256"},
    {"credit_end": "2026-02-01"},
    {"deed_reason": ""},
]


@pytest.mark.parametrize("wrong", BAD)
def test_wish_that_makes_no_sense_gives_nothing(alice, tokens, wrong):
    assert act("Support", "give_credits", alice, **wish(**wrong)).status_code == 200
    assert not CreditPack.objects.exists()


def test_sent_twice_gives_once(alice, tokens):
    client = client_of("Support")
    url = reverse("admin:keystore_consumer_give_credits", args=[alice.pk])
    for _ in range(2):
        client.post(url, wish())
    assert CreditPack.objects.count() == 1


def test_credits_are_taken_back(alice, tokens):
    pack = pack_of(alice, tokens)
    assert "Take back" in page("Support", alice)
    act("Operator", "take_credits", alice, **say("Given twice", which_pack=pack.public_id))
    pack.refresh_from_db()
    assert (pack.remaining, pack.revoked_at) == (0, NOON)


@pytest.mark.parametrize("name", ["give_credits", "take_credits"])
@pytest.mark.parametrize("role", ["Read-only", "Finance"])
def test_others_may_not(alice, tokens, role, name):
    pack = pack_of(alice, tokens)
    answer = act(role, name, alice, **wish(which_pack=pack.public_id))
    assert answer.status_code in (302, 403)
    assert (CreditPack.objects.count(), CreditPack.objects.get().remaining) == (1, 5)


def test_who_proved_themselves_long_ago_is_asked_again(alice, tokens):
    client = client_of("Support")
    session = client.session
    session[PROVED] = (now() - timedelta(minutes=11)).timestamp()
    session.save()
    url = reverse("admin:keystore_consumer_give_credits", args=[alice.pk])
    assert 'name="step_up_proof"' in client.post(url, wish()).content.decode()
    assert not CreditPack.objects.exists()


def test_fail_policy_is_set_and_audited(journal, tokens):
    asked = {
        "project": journal.pk,
        "feature": tokens.feature.pk,
        "on_failure": "fail_open",
        "fresh_seconds": "300",
        "stale_seconds": "3600",
    }
    answer = client_of("Operator").post(reverse("admin:metering_failpolicy_add"), asked)
    assert answer.status_code == 302
    assert FailPolicy.objects.get().fresh_seconds == 300
    assert AuditEntry.objects.filter(act="failpolicy.add").count() == 1


def test_fail_policy_of_another_projects_feature_is_refused(journal, orbit, tokens):
    asked = {
        "project": orbit.pk,
        "feature": tokens.feature.pk,
        "on_failure": "fail_open",
        "fresh_seconds": "300",
        "stale_seconds": "999999999",
    }
    answer = client_of("Operator").post(reverse("admin:metering_failpolicy_add"), asked)
    assert (answer.status_code, FailPolicy.objects.count()) == (200, 0)


@pytest.mark.parametrize("table", ["creditpack", "quotabalance"])
def test_lists_are_shown(alice, tokens, table):
    pack_of(alice, tokens)
    take(consumer=alice, meter=tokens, quantity=9, event_id="", at=NOON)
    row = CreditPack.objects.get() if table == "creditpack" else alice.quota_balances.get()
    client = client_of("Read-only")
    assert "Tokens" in client.get(reverse(f"admin:metering_{table}_changelist")).content.decode()
    shown = client.get(reverse(f"admin:metering_{table}_change", args=[row.pk]))
    assert shown.status_code == 200
