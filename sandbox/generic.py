"""What every resource does unless it says otherwise: create, read, update, delete, list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.errors import StripeError
from sandbox.events import type_of
from sandbox.lists import matching, paginate
from sandbox.registry import Call
from sandbox.schema import answer_class
from sandbox.shapes import fill, merge_metadata, take
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox


def handle(call: Call) -> Any:
    """Answer by the shape of the call alone."""
    assert call.route is not None
    cls, is_list = answer_class(call.route)
    kind = vars(cls).get("OBJECT_NAME") if cls else None
    ends_with_id = call.template.endswith("}")
    if kind and is_list and call.method == "GET" and not call.ids:
        return list_all(call, kind)
    if kind and ends_with_id and len(call.ids) == 1:
        one = {"GET": retrieve, "POST": update, "DELETE": delete}[call.method]
        return one(call, kind)
    if kind and call.method == "POST" and not call.ids:
        return create(call, kind)
    message = f"The sandbox does not know {call.method} {call.template}; Stripe does."
    raise StripeError(501, message, type="api_error")


def create(call: Call, kind: str, **values: Any) -> Object:
    """Make an object from the parameters and `values`, store it and tell of it."""
    made = new(call.sandbox, kind, call.params, **values)
    call.store.put(made)
    call.sandbox.emit(type_of(kind, "created"), made)
    return made


def new(sandbox: Sandbox, kind: str, given: dict[str, Any], **values: Any) -> Object:
    """A complete object, not yet stored, of the given parameters and `values`."""
    made = fill(kind, given)
    if "id" in made:
        made["id"] = given.get("id") or new_id(kind)
    for name in ("created", "updated"):
        if name in made:
            made[name] = sandbox.now()
    if "active" in made:
        made["active"] = given.get("active", True)
    if "metadata" in made:
        made["metadata"] = {}
        merge_metadata(made, given.get("metadata"))
    made.update(values)
    return made


def retrieve(call: Call, kind: str) -> Object:
    found = call.store.find(call.id)
    if found and found.get("deleted") and found["object"] == kind:
        return found
    return call.store.get(kind, call.id)


def update(call: Call, kind: str, **values: Any) -> Object:
    """Write the given fields; `customer.updated` and the like only if something changed."""
    item = call.store.get(kind, call.id)
    with call.sandbox.changing(item):
        take(item, kind, call.params)
        merge_metadata(item, call.params.get("metadata"))
        item.update(values)
    return item


def delete(call: Call, kind: str) -> Object:
    item = call.store.get(kind, call.id)
    stub = call.store.remove(item)
    call.sandbox.emit(type_of(kind, "deleted"), item)
    return stub


def list_all(call: Call, kind: str) -> Object:
    items = matching(call.store.newest_first(kind), call.params)
    return paginate(items, call.params, url=call.path)
