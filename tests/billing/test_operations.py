"""A write to Stripe happens once, whatever becomes of its answer."""

import re
from contextlib import ExitStack
from datetime import timedelta

import pytest

from billing import gateway
from billing.models import Operation, OperationKind, OperationState, StripeCustomer
from billing.operations import OperationPending, run_operation, settle_due, want
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def wish(alice, stripe_world):
    """The wish for a Stripe customer of alice."""
    return want(
        project=alice.project,
        kind=OperationKind.CREATE_CUSTOMER,
        path="/v1/customers",
        params={"email": alice.email},
        subject=alice.public_id,
        actor="system",
        at=NOON,
    )


def executions(stripe_world):
    return stripe_world.executions(route="POST /v1/customers")


def settle_later(minutes=10):
    settle_due(at=NOON + timedelta(minutes=minutes))


def test_it_is_sent_once_and_settled(wish, stripe_world):
    found = run_operation(operation=wish, at=NOON)

    assert wish.state == OperationState.DONE
    assert StripeCustomer.objects.get().stripe_customer_id == found["id"]
    assert run_operation(operation=wish, at=NOON) is None
    assert executions(stripe_world) == 1


@pytest.mark.parametrize("fault", ["reset_after", "server_error_after"])
def test_an_executed_call_whose_answer_was_lost_is_found_not_repeated(wish, stripe_world, fault):
    stripe_world.faults.add("POST /v1/customers", fault, times=1)

    run_operation(operation=wish, at=NOON)
    assert wish.state == OperationState.UNKNOWN
    settle_later()

    wish.refresh_from_db()
    assert wish.state == OperationState.DONE
    assert executions(stripe_world) == 1
    assert StripeCustomer.objects.get().stripe_customer_id == wish.stripe_object_id


def test_a_call_that_was_not_executed_is_sent_again(wish, stripe_world):
    stripe_world.faults.add("POST /v1/customers", "reset_before", times=1)

    run_operation(operation=wish, at=NOON)
    settle_later()

    wish.refresh_from_db()
    assert (wish.state, executions(stripe_world)) == (OperationState.DONE, 1)


def test_a_saved_500_that_did_nothing_gets_a_new_key_after_a_look(wish, stripe_world):
    stripe_world.faults.add("POST /v1/customers", "server_error", times=1)

    run_operation(operation=wish, at=NOON)
    assert (wish.state, wish.epoch) == (OperationState.UNKNOWN, 1)
    settle_later(minutes=1)
    settle_later(minutes=30)

    wish.refresh_from_db()
    assert (wish.state, wish.epoch, executions(stripe_world)) == (OperationState.DONE, 2, 1)


def test_a_key_that_stripe_knows_of_another_call_is_replaced_after_a_look(wish, stripe_world):
    """Such as a try of an earlier release: only Stripe knows what became of it."""
    gateway.write("/v1/customers", {"name": "x"}, idempotency_key=wish.idempotency_key)

    run_operation(operation=wish, at=NOON)
    assert (wish.state, executions(stripe_world)) == (OperationState.UNKNOWN, 1)
    settle_later(minutes=30)

    wish.refresh_from_db()
    assert (wish.state, wish.epoch, executions(stripe_world)) == (OperationState.DONE, 2, 2)


def test_a_key_that_stripe_may_have_forgotten_is_not_sent_before_a_look(wish, stripe_world):
    stripe_world.faults.add("POST /v1/customers", "reset_after", times=1)
    run_operation(operation=wish, at=NOON)

    stripe_world.advance(timedelta(hours=25))
    settle_later(minutes=25 * 60)

    wish.refresh_from_db()
    assert (wish.state, executions(stripe_world)) == (OperationState.DONE, 1)


def test_429_leaves_it_wanted_and_is_tried_again(wish, stripe_world):
    stripe_world.faults.add("POST /v1/customers", "rate_limit", times=1)

    run_operation(operation=wish, at=NOON)
    assert wish.state == OperationState.WANTED
    settle_later()

    wish.refresh_from_db()
    assert (wish.state, executions(stripe_world)) == (OperationState.DONE, 1)


def test_a_refusal_fails_it_for_good(alice, stripe_world):
    wish = want(
        project=alice.project,
        kind=OperationKind.CREATE_CUSTOMER,
        path="/v1/customers",
        params={"no_such_parameter": "x"},
        subject=alice.public_id,
        actor="system",
        at=NOON,
    )

    run_operation(operation=wish, at=NOON)

    assert wish.state == OperationState.FAILED
    assert "no_such_parameter" in wish.error
    assert settle_due(at=NOON + timedelta(days=1)) == 0


def test_a_second_wish_for_the_same_subject_waits_for_the_first(wish, alice):
    with pytest.raises(OperationPending):
        want(
            project=alice.project,
            kind=OperationKind.CREATE_CUSTOMER,
            path="/v1/customers",
            params={},
            subject=alice.public_id,
            actor="system",
            at=NOON,
        )
    assert Operation.objects.count() == 1


def test_a_crash_between_claim_and_call_is_taken_up_after_the_lease(wish, stripe_world):
    Operation.objects.filter(pk=wish.pk).update(
        state=OperationState.SENT, attempts=1, lease_until=NOON + timedelta(seconds=30)
    )

    assert settle_due(at=NOON + timedelta(seconds=29)) == 0
    settle_due(at=NOON + timedelta(seconds=31))

    wish.refresh_from_db()
    assert (wish.state, executions(stripe_world)) == (OperationState.DONE, 1)


def test_no_call_is_made_inside_a_transaction(wish):
    from django.db import transaction

    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        run_operation(operation=wish, at=NOON)


def test_an_unreachable_stripe_is_told_as_nothing_happened(settings):
    gateway.connect(None)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"  # nobody listens there

    with pytest.raises(gateway.StripeUnavailable):
        gateway.write("/v1/customers", {}, idempotency_key="x")


def test_requests_beyond_the_most_that_may_wait_are_refused_at_once():
    with ExitStack() as waiting:
        for _ in range(gateway.MOST_WAITING):
            waiting.enter_context(gateway.deadline(10))
        with pytest.raises(gateway.StripeUnavailable), gateway.deadline(10):
            pass
    with gateway.deadline(10):
        pass


@pytest.mark.parametrize("started_by", ["config/supervisor.py", "Dockerfile"])
def test_half_of_the_web_threads_never_wait_for_stripe(settings, started_by):
    text = (settings.BASE_DIR / started_by).read_text()
    threads = re.search(r"--blocking-threads\W+(\d+)", text)

    assert int(threads[1]) >= 2 * gateway.MOST_WAITING


def test_a_passed_deadline_sends_nothing(stripe_world):
    with gateway.deadline(0), pytest.raises(gateway.StripeUnavailable):
        gateway.write("/v1/customers", {}, idempotency_key="x")
    assert executions(stripe_world) == 0
