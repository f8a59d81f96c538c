"""The event log: what changed, and what it was before."""

from __future__ import annotations

import functools
import typing
from typing import TYPE_CHECKING, Any

from sandbox.schema import API_VERSION, fields_of, object_class
from sandbox.shapes import blank, copy
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

OBJECT_EVENTS = {"subscription": "customer.subscription", "dispute": "charge.dispute"}


@functools.cache
def known_types() -> frozenset[str]:
    """Every type of event that this version of Stripe documents."""
    literals = [fields_of(object_class("event"))["type"]]
    literals += typing.get_args(literals[0])
    return frozenset(n for hint in literals for n in typing.get_args(hint) if isinstance(n, str))


def type_of(kind: str, verb: str) -> str:
    """customer, created -> customer.created; subscription, updated -> customer.subscription..."""
    return f"{OBJECT_EVENTS.get(kind, kind)}.{verb}"


def difference(before: Any, after: Any) -> dict[str, Any]:
    """The old values of what changed, as `data.previous_attributes` shows them."""
    changed = {}
    for key in after:
        old, new = before.get(key), after[key]
        if old == new:
            continue
        both = isinstance(old, dict) and isinstance(new, dict) and new.get("object") != "list"
        changed[key] = difference(old, new) if both else old
    return changed


class EventLog:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        # (request id, idempotency key) of the call that is executing; None for the clock's work.
        self.cause: tuple[str, str | None] | None = None

    def emit(
        self, type: str, item: Object, previous: dict[str, Any] | None = None
    ) -> Object | None:
        """Log the event and hand it to the webhook sender; None for what Stripe never tells."""
        if type not in known_types():
            return None
        request_id, key = self.cause or (None, None)
        event = blank("event")
        event.update(
            id=new_id("event"),
            api_version=API_VERSION,
            created=self._sandbox.now(item),
            type=type,
            data={"object": copy(item)},
            request={"id": request_id, "idempotency_key": key},
        )
        event.pop("context")
        event["account"] = self._connected(item)
        if not event["account"]:
            event.pop("account")
        if previous is not None:
            event["data"]["previous_attributes"] = copy(previous)
        self._sandbox.store.put(event)
        self._sandbox.store.hide(event["id"], delivered=True)
        self._sandbox.webhooks.enqueue(event)
        return event

    def _connected(self, item: Object) -> str | None:
        """The connected account that an event concerns: itself, or the one that it belongs to."""
        if item.get("object") == "account":
            return str(item["id"])
        return self._sandbox.store.secret(item.get("id", ""), "account")
