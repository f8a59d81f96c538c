"""The CloudEvents SDK for Python sends to us in each form of the standard."""

from datetime import UTC, timedelta

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from config.clock import now
from metering.models import UsageEvent

PATH = "/api/v1/usage/events"


@pytest.fixture(autouse=True)
def tokens(journal, alice):
    return journal.meters.create(code="tokens")


def sdk_event(n):
    return CloudEvent(
        attributes={
            "id": f"e{n}",
            "source": "/worker",
            "type": "tokens",
            "specversion": "1.0",
            "subject": "alice",
            "time": now().astimezone(UTC) - timedelta(minutes=n),
            "datacontenttype": "application/json",
        },
        data={"quantity": n, "model": "large"},
    )


def send(api, message):
    headers = dict(message.headers)
    kind = headers.pop("content-type", None) or headers.pop("Content-Type")
    return api.post(PATH, message.body, content_type=kind, headers=headers)


def counted():
    events = UsageEvent.objects.order_by("quantity")
    return [
        (one.event_id, one.source, int(one.quantity), one.properties["model"]) for one in events
    ]


def test_structured_event_of_the_sdk_is_counted(api):
    assert send(api, to_structured_event(sdk_event(3))).status_code == 200
    assert counted() == [("e3", "/worker", 3, "large")]


def test_binary_event_of_the_sdk_is_the_same_event(api):
    event = sdk_event(3)
    assert send(api, to_binary_event(event)).json()["accepted"] == 1
    assert send(api, to_structured_event(event)).json()["duplicates"] == 1
    assert counted() == [("e3", "/worker", 3, "large")]


def test_batch_of_the_sdks_events_is_counted(api):
    texts = [bytes(JSONFormat().write(sdk_event(n))) for n in (1, 2)]
    body = b"[" + b",".join(texts) + b"]"
    answer = api.post(PATH, body, content_type="application/cloudevents-batch+json")
    assert answer.json()["accepted"] == 2
    assert counted() == [("e1", "/worker", 1, "large"), ("e2", "/worker", 2, "large")]
