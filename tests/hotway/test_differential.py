"""The same thousand requests through the front door and through Django, compared byte by byte."""

import logging
import os
import re
from collections import Counter
from datetime import timedelta

import pytest
from django.core.wsgi import get_wsgi_application

from config.clock import now
from keystore.services import disable_key, issue_key, revoke_key
from metering.models import QuotaBalance, UsageEvent
from tests.hotway.conftest import call
from tests.hotway.requests import Cast, thousand
from tests.hotway.usage_requests import POOR, RICH, SIDE, SIDES
from tests.metering.quota_cast import give as allow
from tests.metering.quota_cast import metered, sell

SEED = int(os.environ.get("DIFFERENTIAL_SEED", "20261121"))
# Ids that we make for each event and reservation, and when the latter ends.
OWN = [rb'"event": ?"[0-9a-f-]{36}"', rb'"id":"(?:res|grant|grt)_\w+"', rb'"expires_at":"20[^"]+"']
COUNT = int(os.environ.get("DIFFERENTIAL_REQUESTS", "1000"))


@pytest.fixture
def cast(journal, orbit, meters, backend, backend_key, alice, bob, mallory, give, exports):
    """Keys in every state, users with and without answers."""
    at = now()

    def key(owner, **terms):
        return issue_key(project=owner.project, owner=owner, actor="system", at=at, **terms)

    give(alice)
    for side in SIDES:
        metered_users(journal, side)
    odd = journal.consumers.create(external_id="user@example.com", email="o@example.com")
    give(odd)
    journal.apis.create(code="images")
    revoked, off = key(alice), key(alice)
    revoke_key(key=revoked.key, actor="system", reason="", at=at)
    disable_key(key=off.key, actor="system", reason="", at=at)
    asleep = journal.apps.create(name="asleep")
    old = key(bob, expires_at=at + timedelta(days=1))
    type(old.key).objects.filter(pk=old.key.pk).update(
        created_at=at - timedelta(days=2), expires_at=at - timedelta(days=1)
    )
    tokens = {
        "app": backend_key,
        "weak": key(backend, scopes=["grants:write"]).plaintext,
        "reader": key(backend, scopes=["entitlements:read", "keys:read"]).plaintext,
        "asleep": key(asleep, scopes=["*"]).plaintext,
        "alice": key(alice, scopes=["read"], metadata={"plan": "pro", "n": 1.5}).plaintext,
        "limited": key(alice, own_limit_per_minute=60).plaintext,
        "closed": key(alice, own_limit_per_minute=0).plaintext,
        "walled": key(alice, allowed_cidrs=["203.0.113.0/24"]).plaintext,
        "bob": key(bob, environment="test", metadata={"customer_email": "b@example.com"}).plaintext,
        "odd": key(odd).plaintext,
        "mallory": key(mallory).plaintext,
        "revoked": revoked.plaintext,
        "off": off.plaintext,
        "old": old.plaintext,
        "typo": backend_key[:-1] + "!",
        "unknown": "lk_live_" + "0" * 36,
        "foreign": "some-key-of-elsewhere",
        "empty": "",
        "long": "x" * 500,
        "unicode": "l\xfckey\xe9" * 4,
    }
    asleep.is_active = False
    asleep.save()
    names = {"ours": alice.public_id, "project": journal.public_id, "project_id": str(journal.pk)}
    alice.refresh_from_db()
    return Cast(tokens, names, f'"{alice.answer.etag}"')


def metered_users(journal, side):
    """Who has much left, and who has little: of what is added up, told apart, or the latest."""
    for name, limit in ((RICH, 100_000), (POOR, 3)):
        user = journal.consumers.create(external_id=name.replace(SIDE, side))
        for code in ("calls", "seats", "latest"):
            allow(user, plan=sell(journal, code, limit=limit))


@pytest.fixture
def meters(journal):
    metered(journal, "calls")
    metered(journal, "seats", aggregation="max")
    metered(journal, "latest", aggregation="latest")
    journal.meters.create(code="free")
    journal.meters.create(code="gone", archived_at=now())


def used_by(side):
    """Everything that one side has written down of its users."""
    names = ("consumer__external_id", "meter__code")
    events = UsageEvent.objects.filter(event_id__endswith=side).values_list(
        *names, "event_id", "source", "quantity", "from_credits", "properties"
    )
    balances = QuotaBalance.objects.filter(consumer__external_id__endswith=side).values_list(
        *names, "period_start", "limit", "enforcement", "used", "reserved", "warn_due"
    )
    return [sorted(str(row).replace(side, "") for row in rows) for rows in (events, balances)]


def normal(reply):
    """What may differ is of the request alone: its id, its side, and whether it came before."""
    status, headers, body = reply.told()
    for side in SIDES:
        body = body.replace(side.encode(), b"")
    for own in OWN:
        body = re.sub(own, b"", body)
    body = re.sub(rb"req_[0-9a-f]{32}", b"", body)
    body = re.sub(rb'"first_time": (true|false)', b'"first_time": 0', body)
    length = [pair for pair in headers if pair[0] == "Content-Length"]
    headers = [pair for pair in headers if pair not in length]
    return status, headers, body


class Watched:
    """Counts what the door answered itself, by path."""

    def __init__(self, door):
        self.answered = Counter()
        self._door, self._django = door, door.django
        door.django = self._pass_on

    def __call__(self, environ, start_response):
        self.answered[environ["PATH_INFO"]] += 1
        return self._door(environ, start_response)

    def _pass_on(self, environ, start_response):
        self.answered[environ["PATH_INFO"]] -= 1
        return self._django(environ, start_response)


@pytest.fixture
def quiet():
    """Two thousand lines of log would hide what went wrong."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def redis_client(_redis_client):
    return _redis_client


def test_front_door_and_django_say_the_same(hot, cast, redis_client, quiet):
    django = get_wsgi_application()
    doors = [Watched(hot(cached=True)), Watched(hot(cached=False))]
    seen = Counter()
    for number, make in enumerate(thousand(cast, SEED, COUNT)):
        redis_client.flushall()  # what is left of a limit is told
        by_django = call(django, make(SIDES[0]))
        redis_client.flushall()
        by_door = call(doors[number % 2], make(SIDES[1]))
        assert normal(by_door) == normal(by_django), make(SIDE)
        seen[by_django.status] += 1
    assert sum(seen.values()) == COUNT
    assert {"200 OK", "304 Not Modified", "401 Unauthorized", "403 Forbidden"} <= set(seen)
    assert used_by(SIDES[0]) == used_by(SIDES[1])
    # Else the comparison would be one of Django with itself.
    answered = doors[0].answered + doors[1].answered
    for path in ("entitlements", "keys/verify", "whoami", "usage/events", "check"):
        assert answered[f"/api/v1/{path}"] > COUNT / 100, path
    assert answered["/webhooks/stripe"] + answered["/api/v1/webhooks/stripe"] > 2
