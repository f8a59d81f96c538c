"""Test clocks: time of its own for the customers that are put on one."""

from __future__ import annotations

from sandbox import generic
from sandbox.engine import schedule
from sandbox.engine.items import items_of, period_of
from sandbox.errors import invalid
from sandbox.registry import Call, on
from sandbox.store import Object

KIND = "test_helpers.test_clock"
DAYS_KEPT = 30


@on("POST /v1/test_helpers/test_clocks")
def create_clock(call: Call) -> Object:
    deletes = call.sandbox.now() + DAYS_KEPT * 86_400
    return generic.create(call, KIND, status="ready", deletes_after=deletes)


@on("POST /v1/test_helpers/test_clocks/{id}/advance")
def advance_clock(call: Call) -> Object:
    """Do what falls due on the way, as Stripe does, but before this answers."""
    clock = call.store.get(KIND, call.id)
    to = call.params["frozen_time"]
    if to <= clock["frozen_time"]:
        raise invalid("You can only advance a test clock forward.", param="frozen_time")
    if to > _furthest(call, clock):
        message = "You can advance the clock by two intervals of its shortest subscription at "
        raise invalid(message + "most.", param="frozen_time")
    clock["status"] = "advancing"
    call.sandbox.emit("test_helpers.test_clock.advancing", clock)
    schedule.run_until(call.sandbox, to, test_clock=clock["id"])
    clock.update(frozen_time=to, status="ready")
    call.sandbox.emit("test_helpers.test_clock.ready", clock)
    return clock


def _furthest(call: Call, clock: Object) -> int:
    lengths = []
    for subscription in call.store.all("subscription"):
        if subscription["test_clock"] == clock["id"] and items_of(subscription):
            start, end = period_of(subscription)
            if subscription["status"] != "trialing":
                lengths.append(end - start)
    # Slack of a few days: two months may be longer than twice this one.
    shortest = min(lengths, default=366 * 86_400)
    return int(clock["frozen_time"]) + 2 * shortest + 6 * 86_400


@on("DELETE /v1/test_helpers/test_clocks/{id}")
def delete_clock(call: Call) -> Object:
    """Its customers go with it."""
    for customer in call.store.all("customer"):
        if customer["test_clock"] == call.id:
            for item in [*call.store.all("subscription")]:
                if item["customer"] == customer["id"]:
                    call.store.remove(item)
            call.store.remove(customer)
    return generic.delete(call, KIND)
