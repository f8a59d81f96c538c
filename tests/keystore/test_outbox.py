"""What is told is written with its cause, or not at all."""

import json

import pytest
from django.db import transaction

from keystore.correlation import bound
from keystore.models import HookDelivery, HookEndpoint, OutboxMessage
from keystore.outbox import MOST_BYTES, body_of, tell
from keystore.seal import seal
from tests.conftest import NOON


def endpoint(project, path="hooks", **fields):
    url = f"https://receiver.example/{path}"
    return HookEndpoint.objects.create(
        project=project, url=url, sealed_secret=seal("whsec_c2VjcmV0"), **fields
    )


def say(project, kind="key.created", data=None, **more):
    tell(project=project, kind=kind, data=data or {"id": "key_1"}, at=NOON, **more)


def test_message_goes_to_every_endpoint_that_wants_it(journal, alice):
    everything = endpoint(journal, "all")
    keys = endpoint(journal, "keys", kinds=["key.created"])
    endpoint(journal, "refunds", kinds=["refund.created"])

    with bound("req_1"):
        say(journal, consumer=alice)

    message = OutboxMessage.objects.get()
    assert (message.kind, message.consumer, message.request_id) == ("key.created", alice, "req_1")
    assert {one.endpoint for one in message.deliveries.all()} == {everything, keys}


def test_nothing_is_written_without_an_endpoint_that_wants_it(journal, orbit):
    endpoint(journal, "off", disabled_at=NOON)
    endpoint(journal, "refunds", kinds=["refund.created"])
    endpoint(orbit)

    say(journal)

    assert OutboxMessage.objects.count() == 0


def test_message_disappears_with_its_cause(journal):
    endpoint(journal)

    with transaction.atomic():
        say(journal)
        transaction.set_rollback(True)

    assert (OutboxMessage.objects.count(), HookDelivery.objects.count()) == (0, 0)


def test_worker_is_rung_when_the_message_is_certain(
    journal, monkeypatch, django_capture_on_commit_callbacks
):
    rings = []
    monkeypatch.setattr("keystore.outbox.ring", rings.append)
    endpoint(journal)

    with django_capture_on_commit_callbacks(execute=True):
        say(journal)
        assert rings == []

    assert rings == ["keystore.tasks.deliver_hooks"]


def test_unknown_kind_is_a_mistake_of_ours(journal):
    with pytest.raises(ValueError, match=r"key.lost is not a kind"):
        say(journal, kind="key.lost")


def test_body_is_the_same_every_time(journal):
    endpoint(journal)
    say(journal, data={"b": "Grüße", "a": NOON})

    body = body_of(OutboxMessage.objects.get())

    assert body == body_of(OutboxMessage.objects.get())
    assert json.loads(body) == {
        "type": "key.created",
        "timestamp": "2026-03-01T12:00:00Z",
        "data": {"a": "2026-03-01T12:00:00Z", "b": "Grüße"},
    }


def test_large_message_is_told_by_reference(journal, settings):
    settings.PUBLIC_URL = "https://latchkey.example"
    endpoint(journal)
    say(journal, data={"text": "x" * MOST_BYTES})
    message = OutboxMessage.objects.get()

    told = json.loads(body_of(message))["data"]

    address = f"https://latchkey.example/api/v1/hook-messages/{message.public_id}"
    assert told == {"too_large": True, "url": address}
    assert len(message.data["text"]) == MOST_BYTES
