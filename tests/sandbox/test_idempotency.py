"""Stripe's rules for idempotency keys."""

from datetime import timedelta

import pytest
import stripe

KEY = {"idempotency_key": "key_1"}


def test_the_same_request_gets_the_first_answer(client, sandbox):
    first = client.customers.create({"email": "a@example.com"}, KEY)
    again = client.customers.create({"email": "a@example.com"}, KEY)

    assert again.id == first.id
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert sandbox.executions(route="POST /v1/customers") == 1


def test_another_request_under_the_key_is_refused(client, sandbox):
    client.customers.create({"email": "a@example.com"}, KEY)

    with pytest.raises(stripe.IdempotencyError):
        client.customers.create({"email": "b@example.com"}, KEY)

    assert sandbox.executions(route="POST /v1/customers") == 1


def test_another_path_under_the_key_is_refused(client):
    client.customers.create({}, KEY)

    with pytest.raises(stripe.IdempotencyError):
        client.products.create({"name": "Pro"}, KEY)


def test_a_server_error_is_saved(client, sandbox):
    sandbox.faults.add("POST /v1/customers", "server_error", times=1)

    for _ in range(2):
        with pytest.raises(stripe.APIError):
            client.customers.create({}, KEY)

    assert sandbox.executions(route="POST /v1/customers") == 0


def test_a_decline_is_saved(client, sandbox):
    wanted = {"amount": 500, "currency": "usd", "confirm": True}
    wanted["payment_method"] = "pm_card_chargeDeclined"

    for _ in range(2):
        with pytest.raises(stripe.CardError):
            client.payment_intents.create(wanted, KEY)

    assert len(list(sandbox.store.all("charge"))) == 1


def test_a_validation_error_is_not_saved(client):
    with pytest.raises(stripe.InvalidRequestError):
        client.customers.create({"emial": "a"}, KEY)

    assert client.customers.create({"email": "a@example.com"}, KEY).email == "a@example.com"


def test_a_rate_limit_is_not_saved(client, sandbox):
    sandbox.faults.add("POST /v1/customers", "rate_limit", times=1)

    with pytest.raises(stripe.RateLimitError):
        client.customers.create({}, KEY)

    assert client.customers.create({}, KEY).object == "customer"


def test_a_key_is_free_again_after_a_day(client, sandbox):
    first = client.customers.create({}, KEY)

    sandbox.advance(timedelta(hours=25))

    assert client.customers.create({}, KEY).id != first.id


def test_a_request_that_still_runs_makes_the_second_wait_in_vain(sandbox):
    sandbox.idempotency.begin("key_1", account="", request=("/v1/customers", "[]"), at=0)
    sandbox.clock.pin(0)

    answer = sandbox.request(
        "POST",
        "/v1/customers",
        "",
        {"Authorization": "Bearer sk_test_abc", "Idempotency-Key": "key_1"},
    )

    assert answer.status == 409
