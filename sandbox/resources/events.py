"""The list of events, and the endpoints that they are sent to."""

from __future__ import annotations

from sandbox import generic
from sandbox.errors import invalid
from sandbox.lists import matching, paginate
from sandbox.registry import Call, on
from sandbox.schema import API_VERSION
from sandbox.shapes import copy
from sandbox.store import Object, random_text
from sandbox.webhooks import Endpoint

KEPT_SECONDS = 30 * 24 * 3600


@on("GET /v1/events")
def list_events(call: Call) -> Object:
    if "type" in call.params and "types" in call.params:
        raise invalid("You may not specify both `type` and `types`.", param="types")
    delivered = call.params.pop("delivery_success", None)
    oldest = call.sandbox.now() - KEPT_SECONDS
    events = [e for e in call.store.newest_first("event") if e["created"] >= oldest]
    pattern = call.params.get("type", "")
    if pattern.endswith("*"):
        call.params.pop("type")
        events = [event for event in events if event["type"].startswith(pattern[:-1])]
    if delivered is not None:
        events = [e for e in events if call.store.secret(e["id"], "delivered") == delivered]
    return paginate(matching(events, call.params), call.params, url=call.path)


@on("POST /v1/webhook_endpoints")
def create_endpoint(call: Call) -> Object:
    secret = f"whsec_{random_text(32)}"
    made = generic.create(call, "webhook_endpoint", status="enabled", api_version=API_VERSION)
    call.sandbox.webhooks.endpoints[made["id"]] = Endpoint(
        made["id"], made["url"], secret, list(made["enabled_events"])
    )
    return {**copy(made), "secret": secret}


@on("POST /v1/webhook_endpoints/{id}")
def update_endpoint(call: Call) -> Object:
    disabled = call.params.pop("disabled", None)
    item = generic.update(call, "webhook_endpoint")
    if disabled is not None:
        item["status"] = "disabled" if disabled else "enabled"
    endpoint = call.sandbox.webhooks.endpoints[item["id"]]
    endpoint.target, endpoint.enabled_events = item["url"], list(item["enabled_events"])
    endpoint.enabled = item["status"] == "enabled"
    return item


@on("DELETE /v1/webhook_endpoints/{id}")
def delete_endpoint(call: Call) -> Object:
    call.sandbox.webhooks.endpoints.pop(call.id, None)
    return generic.delete(call, "webhook_endpoint")
