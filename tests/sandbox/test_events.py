"""Events and their delivery."""

import json

import pytest
import stripe

from sandbox.check import check_event
from tests.sandbox.conftest import SECRET, type_names


@pytest.fixture
def received(sandbox):
    """Events that arrived with a good signature."""
    arrived = []

    def receive(body: bytes, signature: str) -> int:
        stripe.Webhook.construct_event(body, signature, SECRET)
        arrived.append(json.loads(body))
        return 200

    sandbox.deliver_to(receive, SECRET)
    return arrived


def test_a_change_is_told_with_what_was_before(client, sandbox):
    customer = client.customers.create({"name": "Ann"})

    client.customers.update(customer.id, {"name": "Bea"})

    event = client.events.list().data[0]
    assert event.type == "customer.updated"
    assert event.data.previous_attributes.to_dict() == {"name": "Ann"}


def test_an_update_that_changes_nothing_is_not_told(client, sandbox):
    customer = client.customers.create({"name": "Ann"})

    client.customers.update(customer.id, {"name": "Ann"})

    assert type_names(sandbox) == ["customer.created"]


def test_every_event_has_its_documented_shape(client, sandbox, buyer):
    buyer()

    assert [p for e in sandbox.store.all("event") for p in check_event(e)] == []


def test_an_event_names_the_request_that_caused_it(client):
    customer = client.customers.create({}, {"idempotency_key": "key_1"})

    request = client.events.list().data[0]["request"]

    assert request.id == customer.last_response.headers["request-id"]
    assert request.idempotency_key == "key_1"


def test_events_wait_until_they_are_delivered_signed(client, sandbox, received):
    customer = client.customers.create()
    assert [e["type"] for e in sandbox.pending_events()] == ["customer.created"]

    sandbox.webhooks.deliver_all()

    assert [e["data"]["object"]["id"] for e in received] == [customer.id]
    assert sandbox.pending_events() == []


def test_a_wrong_secret_does_not_verify(client, sandbox):
    caught = []
    sandbox.deliver_to(lambda body, signature: caught.append((body, signature)) or 200, "whsec_x")
    client.customers.create()

    sandbox.webhooks.deliver_all()

    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(*caught[0], SECRET)


def test_duplicates_and_losses_come_on_request(client, sandbox, received):
    sandbox.webhooks.knobs.duplicate = 1.0
    client.customers.create()
    sandbox.webhooks.knobs.drop = 1.0
    client.customers.create()

    sandbox.webhooks.deliver_all()

    assert len(received) == 2
    assert received[0]["id"] == received[1]["id"]


def test_reordering_comes_on_request(client, sandbox, received):
    sandbox.webhooks.knobs.reorder = 1.0
    for _ in range(8):
        client.customers.create()

    sandbox.webhooks.deliver_all()

    ids = [event["id"] for event in received]
    made = [event["id"] for event in sandbox.store.all("event")]
    assert sorted(ids) == sorted(made)
    assert ids != made


def test_an_event_can_be_delivered_again(client, sandbox, received):
    client.customers.create()
    event = client.events.list().data[0]

    sandbox.webhooks.deliver(event.id)
    sandbox.webhooks.deliver(event.id)

    assert [e["id"] for e in received] == [event.id, event.id]


def test_an_endpoint_only_gets_the_types_it_asked_for(client, sandbox):
    wanted = {"url": "http://127.0.0.1:9/hook", "enabled_events": ["product.created"]}

    endpoint = client.webhook_endpoints.create(wanted)
    client.customers.create()
    client.products.create({"name": "Pro"})

    assert endpoint.secret.startswith("whsec_")
    assert client.webhook_endpoints.retrieve(endpoint.id).to_dict().get("secret") is None
    assert [e["type"] for e in sandbox.pending_events()] == ["product.created"]


def test_undelivered_events_can_be_listed(client, sandbox):
    sandbox.deliver_to(lambda body, signature: 500, SECRET)
    client.customers.create()
    sandbox.webhooks.deliver_all()

    failed = client.events.list({"delivery_success": False})

    assert [e.type for e in failed.data] == ["customer.created"]
    assert client.events.list({"delivery_success": True}).data == []


def test_events_can_be_listed_by_types(client):
    client.customers.create()
    client.products.create({"name": "Pro"})

    found = client.events.list({"types": ["product.created", "product.deleted"]})

    assert [e.type for e in found.data] == ["product.created"]
