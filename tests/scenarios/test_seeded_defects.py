"""Three mistakes that services like this one make, each made on purpose: the proof sees them.

The scripts act in the world of the property test and end with its proof. Without a defect each
of them passes.
"""

import os
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from uuid import uuid4

import pytest
from hypothesis import Phase

from billing import provision, receipt, snapshot, sync
from billing.models import InboxEvent, InboxState
from tests.scenarios.test_events_property import explore
from tests.scenarios.world import World
from tests.together import overtake

pytestmark = pytest.mark.django_db(transaction=True)
FOLLOWED = "customer.subscription."


@pytest.fixture
def world():
    world = World()
    yield world
    world.close()


# --- Scripts ---


def old_news_comes_last(world):
    """A cancellation is heard before the older events of the subscription, all else before it."""
    world.subscribe("alice", 1)
    world.cancel(0)
    of_subscription = [one for one in world.waiting() if one["type"].startswith(FOLLOWED)]
    for event in world.waiting():
        if event not in of_subscription:
            world.sandbox.webhooks.deliver(event)
    world.work()
    for event in reversed(of_subscription):
        world.sandbox.webhooks.deliver(event)
        world.work()
    world.prove()


def a_slow_answer_is_overtaken(world):
    """While Stripe's answer is on its way, what it tells ends, and that is heard and worked off."""
    world.subscribe("alice", 1)
    world.deliver(Random(1))
    fault = world.sandbox.faults.add("GET /v1/subscriptions", "slow_snapshot", seconds=60, times=1)

    def quick():
        world.cancel(0)
        world.deliver(Random(1))
        world.work()

    overtake(fault, world.work, quick)
    world.prove()


def everything_comes_twice(world):
    """Each event is delivered, worked off, and delivered again."""
    world.subscribe("alice", 1)
    for _ in range(2):
        for event in world.at_stripe("event"):
            world.sandbox.webhooks.deliver(event)
        world.work()
    world.prove()


# --- Defects ---


def trust_the_payload(patch):
    """What an event carries is taken for what is, as its webhook comes in."""
    read = snapshot.take

    def take(*, stripe_customer_id, **asked):
        taken = read(stripe_customer_id=stripe_customer_id, **asked)
        told = InboxEvent.objects.filter(
            stripe_customer_id=stripe_customer_id, state=InboxState.PENDING
        )
        for event in told.order_by("pk"):
            carried = event.payload["data"]["object"]
            if carried["id"] in taken.objects:
                taken.add({**taken.objects[carried["id"]], **carried})
        return taken

    patch.setattr(snapshot, "take", take)


def no_lock(patch):
    """Two workers may be at one customer."""

    @contextmanager
    def free_for_all(stripe_customer_id, **options):
        yield SimpleNamespace(require=lambda: None)

    patch.setattr(sync, "customer_lock", free_for_all)


def no_dedupe_of_deliveries(patch):
    """Each delivery is an event of its own."""
    own_row = receipt.INSERT.replace("(%(event_id)s,", "(%(event_id)s || gen_random_uuid(),")
    assert own_row != receipt.INSERT
    patch.setattr(receipt, "INSERT", own_row)


def no_dedupe_of_keys(patch):
    """Each sync gives the sale a key, whether it has one or not."""
    patch.setattr(provision, "slot_of", lambda source_ref: f"{source_ref}:{uuid4()}")


CASES = [
    (trust_the_payload, old_news_comes_last, "subscriptions: sub_"),
    (no_lock, a_slow_answer_is_overtaken, "'active'"),
    (no_dedupe_of_deliveries, everything_comes_twice, "inbox: evt_"),
    (no_dedupe_of_keys, everything_comes_twice, "working_keys: "),
]


@pytest.mark.parametrize(
    "script", [old_news_comes_last, a_slow_answer_is_overtaken, everything_comes_twice]
)
def test_without_a_defect_the_script_passes(world, script):
    script(world)


@pytest.mark.parametrize(("defect", "script", "said"), CASES)
def test_a_seeded_defect_turns_the_proof_red(world, monkeypatch, defect, script, said):
    defect(monkeypatch)

    with pytest.raises(AssertionError, match=said):
        script(world)


# The suite has the same defects against fixed scripts, above; the random walk takes minutes each.
@pytest.mark.skipif("HYPOTHESIS_PROFILE" not in os.environ, reason="minutes: see `make explore`")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("defect", [trust_the_payload, no_dedupe_of_deliveries, no_dedupe_of_keys])
def test_the_property_test_itself_sees_it(monkeypatch, defect):
    defect(monkeypatch)

    with pytest.raises(AssertionError):
        explore(phases=[Phase.generate])
