"""The end of a trial is announced once, by hook and by mail."""

import pytest
from django.core import mail

from billing.models import Subscription, TrialUse
from billing.trials import days_for, mail_trials
from keystore.models import OutboxMessage
from tests.billing.subscribers import follow, subscribe

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trial(alice, pro_monthly, clock):
    """Fourteen days of pro for nothing."""
    alice.project.hook_endpoints.create(url="https://hooks.example/x", kinds=[])
    return subscribe(alice, pro_monthly, clock, trial_period_days=14)


def told():
    return OutboxMessage.objects.filter(kind="subscription.trial_will_end").count()


def test_three_days_before_it_is_told_and_mailed_once(trial, alice, clock):
    clock.advance(days=10, hours=23)
    follow(alice.stripe_customer, clock)
    assert (told(), mail_trials(at=clock())) == (0, 0)

    clock.advance(hours=2)
    for _ in range(2):
        follow(alice.stripe_customer, clock)
        mail_trials(at=clock())

    (sent,) = mail.outbox
    assert (told(), sent.to, sent.subject) == (
        1,
        ["alice@example.com"],
        "Your trial of Pro ends on 15 March",
    )
    assert "14.99 USD is charged" in sent.body


def test_a_mail_server_that_is_away_is_tried_again(trial, alice, clock, settings):
    clock.advance(days=11, hours=1)
    follow(alice.stripe_customer, clock)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    assert mail_trials(at=clock()) == 0

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert mail_trials(at=clock()) == 1


def test_a_trial_made_at_stripe_uses_the_trial_up(trial, alice, pro_monthly):
    pro_monthly.trial_days = 14
    assert TrialUse.objects.get().began_at == Subscription.objects.get().started_at
    assert days_for(consumer=alice, price=pro_monthly) == 0
