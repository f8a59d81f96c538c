"""Staff, and what they work on."""

import re
from datetime import timedelta

import pytest

from tests.conftest import NOON
from tests.staff import client_of


@pytest.fixture
def support(db):
    return client_of("Support")


@pytest.fixture
def reader(db):
    return client_of("Read-only")


@pytest.fixture
def operator(db):
    return client_of("Operator")


@pytest.fixture
def superuser(db):
    return client_of("superuser")


@pytest.fixture
def parked(db):
    """An event of a customer of journal that failed too often."""
    return an_event("evt_parked", state="parked")


@pytest.fixture
def calls(journal):
    """A feature with a limit."""
    return journal.features.create(code="calls", kind="limit")


@pytest.fixture
def given(alice, pro):
    """A grant of pro that staff gave alice."""
    from config.clock import now
    from entitlements.services import give_grant

    at = now()
    return give_grant(
        consumer=alice,
        plan=pro,
        valid_from=None,
        valid_to=at + timedelta(days=30),
        reason="a present",
        granted_by="staff:sam",
        idempotency_key="given",
        actor="staff:sam",
        at=at,
    )


@pytest.fixture
def alices_key(journal, alice):
    from keystore.services import issue_key

    return issue_key(project=journal, owner=alice, actor="system", at=NOON).key


def an_event(event_id, **fields):
    from billing.models import InboxEvent

    payload = {
        "id": event_id,
        "object": "event",
        "type": "customer.updated",
        "livemode": False,
        "data": {"object": {"object": "customer", "id": "cus_1", "email": "alice@example.com"}},
    }
    values = {"type": "customer.updated", "payload": payload, "livemode": False, "attempts": 12}
    return InboxEvent.objects.create(event_id=event_id, **{**values, **fields})


def say(reason="a ticket", **more):
    """What a dialog posts."""
    return {"_form_submitted": "on", "deed_reason": reason, **more}


def page_of(consumer, act=""):
    return f"/admin/keystore/consumer/{consumer.pk}/{act or 'change'}/"


def press_twice(client, url, wish):
    """Look at what would follow, then do it."""
    page = client.post(url, wish).content.decode()
    seen = re.search(r'name="seen" value="(\w{64})"', page)
    return client.post(url, {**wish, "seen": seen[1]}) if seen else page
