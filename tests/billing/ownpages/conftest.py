"""A customer on their own pages."""

from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client


def token_of(url):
    return parse_qs(urlsplit(url).query)["token"][0]


def open_as(consumer, *, return_url="", **client):
    """A browser in which the consumer has opened their pages."""
    from billing.visits import make_link
    from config.clock import now

    made = make_link(consumer=consumer, return_url=return_url, actor="system", at=now())
    browser = Client(**client)
    browser.post("/dashboard/open", {"token": token_of(made.url)})
    return browser


@pytest.fixture
def alices(alice):
    return open_as(alice, return_url="https://app.example.com/account")


@pytest.fixture
def link(alice):
    """The token of a fresh link."""
    from billing.visits import make_link
    from config.clock import now

    return token_of(make_link(consumer=alice, return_url="", actor="system", at=now()).url)


@pytest.fixture
def quota_of_calls(alice):
    """Alice may make 100 calls in all and has made 25; called, it says how many she has made."""
    from tests.metering.quota_cast import give, metered, sell

    give(alice, plan=sell(alice.project, "calls", limit=100, reset="never"))
    meter = metered(alice.project, "calls", name="Calls")
    return Used(alice, meter)


class Used:
    def __init__(self, consumer, meter):
        from config.clock import now
        from metering.models import QuotaBalance
        from metering.selectors import quota_of

        (shown,) = quota_of(consumer=consumer, at=now())
        self.balance = QuotaBalance.objects.create(
            project=consumer.project,
            consumer=consumer,
            meter=meter,
            period_start=shown.period.start,
            period_end=shown.period.end,
            limit=100,
            enforcement="hard",
            used=25,
        )

    def __call__(self, used):
        self.balance.used = used
        self.balance.save(update_fields=["used"])
