"""The control API, POST /_sandbox/...: what tests and demos do to the sandbox from outside."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sandbox.errors import StripeError
from sandbox.faults import Fault

if TYPE_CHECKING:
    from sandbox.world import Sandbox

PREFIX = "/_sandbox/"
Action = Callable[["Sandbox", dict[str, Any]], Any]
_actions: dict[str, Action] = {}


def action(name: str) -> Callable[[Action], Action]:
    """Answer `POST /_sandbox/{name}` with a JSON object."""

    def register(function: Action) -> Action:
        _actions[name] = function
        return function

    return register


def respond(sandbox: Sandbox, method: str, path: str, body: str) -> tuple[int, Any]:
    """(status, answer); GET works for the actions that only look."""
    found = _actions.get(path.removeprefix(PREFIX))
    if found is None:
        return 404, {"error": f"no such action; known: {', '.join(sorted(_actions))}"}
    try:
        given = json.loads(body) if body else {}
        return 200, found(sandbox, given) or {}
    except StripeError as refusal:
        return refusal.status, {"error": refusal.error}
    except (KeyError, TypeError, ValueError) as mistake:
        return 400, {"error": f"{type(mistake).__name__}: {mistake}"}


@action("faults")
def add_fault(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    fault: Fault = sandbox.faults.add(given.pop("match"), given.pop("kind"), **given)
    return {"match": fault.match, "kind": fault.kind, "seconds": fault.seconds}


@action("faults/clear")
def clear_faults(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    sandbox.faults.clear()


@action("seed")
def seed(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    sandbox.faults.seed(given["seed"])
    sandbox.webhooks.seed(given["seed"])


@action("clock")
def show_clock(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    return {"now": sandbox.now()}


@action("clock/advance")
def advance_clock(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    """{"days": 30} or {"hours": .., "seconds": ..}, or {"to": unix second}."""
    if "to" in given:
        sandbox.advance_to(int(given["to"]))
    else:
        sandbox.advance(timedelta(**given))
    return {"now": sandbox.now()}


@action("counters")
def show_counters(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    return sandbox.counters.snapshot()


@action("reset")
def reset(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    sandbox.reset()


@action("webhooks/knobs")
def turn_knobs(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    """duplicate, drop, reorder (probabilities), delay_seconds, hold."""
    sandbox.webhooks.knobs = dataclasses.replace(sandbox.webhooks.knobs, **given)
    return dataclasses.asdict(sandbox.webhooks.knobs)


@action("webhooks/hold")
def hold(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    sandbox.webhooks.hold()


@action("webhooks/release")
def release(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    sandbox.webhooks.release()


@action("webhooks/pending")
def show_pending(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    return {"data": sandbox.pending_events()}


@action("webhooks/deliveries")
def show_deliveries(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    return {"data": list(sandbox.webhooks.log)}


@action("webhooks/deliver")
def deliver(sandbox: Sandbox, given: dict[str, Any]) -> Any:
    """{"event": "evt_..."}: send it now, again if need be."""
    return {"statuses": sandbox.webhooks.deliver(given["event"])}
