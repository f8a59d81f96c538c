"""What breaks on purpose, and the counter that proves what ran."""

import time

import pytest
import stripe


def test_a_reset_before_leaves_nothing_executed(client, sandbox):
    sandbox.faults.add("POST /v1/customers", "reset_before", times=1)

    with pytest.raises(stripe.APIConnectionError):
        client.customers.create()

    assert list(sandbox.store.all("customer")) == []


def test_a_reset_after_leaves_it_executed_once(client, sandbox):
    sandbox.faults.add("POST /v1/customers", "reset_after", times=1)
    key = {"idempotency_key": "key_1"}

    with pytest.raises(stripe.APIConnectionError):
        client.customers.create({"metadata": {"operation_id": "op_1"}}, key)
    client.customers.create({"metadata": {"operation_id": "op_1"}}, key)

    assert sandbox.executions(operation_id="op_1") == 1


def test_a_fault_strikes_only_what_it_matches(client, sandbox):
    sandbox.faults.add("POST /v1/customers/*", "rate_limit")
    customer = client.customers.create()

    with pytest.raises(stripe.RateLimitError):
        client.customers.update(customer.id, {"name": "Ann"})


def test_a_refused_request_is_a_mistake_of_the_caller_s(client, sandbox):
    customer = client.customers.create()
    sandbox.faults.add(f"GET /v1/customers/{customer.id}", "refused", times=1)

    with pytest.raises(stripe.InvalidRequestError, match="on purpose"):
        client.customers.retrieve(customer.id)
    assert client.customers.retrieve(customer.id).id == customer.id


def test_an_empty_list_is_given_once(client, sandbox):
    client.customers.create()
    sandbox.faults.add("GET /v1/customers", "empty_list", times=1)

    assert [len(client.customers.list().data) for _ in range(2)] == [0, 1]


def test_a_slow_snapshot_answers_late(client, sandbox):
    sandbox.faults.add("GET /v1/account", "slow_snapshot", seconds=0.05, times=1)

    begun = time.perf_counter()
    client.accounts.retrieve_current()

    assert time.perf_counter() - begun >= 0.05


def test_the_same_seed_gives_the_same_faults(sandbox):
    sandbox.faults.add("GET /v1/account", "rate_limit", probability=0.5)

    runs = []
    for _ in range(2):
        sandbox.faults.seed(7)
        runs.append([bool(sandbox.faults.draw("GET", "/v1/account")) for _ in range(20)])

    assert runs[0] == runs[1]
    assert 0 < sum(runs[0]) < 20


def test_an_unknown_fault_is_refused(sandbox):
    with pytest.raises(ValueError, match="no fault is called"):
        sandbox.faults.add("GET *", "meteor")


def test_executions_are_counted_by_route_and_operation(client, sandbox):
    client.customers.create({"metadata": {"operation_id": "op_1"}})
    client.customers.create({"metadata": {"operation_id": "op_2"}})

    assert sandbox.executions(route="POST /v1/customers") == 2
    assert sandbox.executions(route="POST /v1/customers", operation_id="op_2") == 1
    assert sandbox.executions(operation_id="op_3") == 0
