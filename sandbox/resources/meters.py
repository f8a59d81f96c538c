"""Meters, the events that they count, and what they came to."""

from __future__ import annotations

from sandbox import generic
from sandbox.engine import usage
from sandbox.errors import invalid
from sandbox.lists import paginate
from sandbox.registry import Call, on
from sandbox.store import Object

WINDOWS = {"hour": 3600, "day": 86_400}
MINUTE = 60


@on("POST /v1/billing/meters")
def create_meter(call: Call) -> Object:
    name = call.params["event_name"]
    for other in call.store.all(usage.METER):
        if other["event_name"] == name and other["status"] == "active":
            message = f"An active meter with event name {name} already exists: {other['id']}."
            raise invalid(message, param="event_name")
    call.params.setdefault(
        "customer_mapping", {"event_payload_key": "stripe_customer_id", "type": "by_id"}
    )
    call.params.setdefault("value_settings", {"event_payload_key": "value"})
    return generic.create(
        call, usage.METER, status="active", status_transitions={"deactivated_at": None}
    )


@on("POST /v1/billing/meters/{id}")
def update_meter(call: Call) -> Object:
    return generic.update(call, usage.METER, updated=call.sandbox.now())


@on("POST /v1/billing/meters/{id}/deactivate")
def deactivate_meter(call: Call) -> Object:
    return _move(call, "inactive", call.sandbox.now())


@on("POST /v1/billing/meters/{id}/reactivate")
def reactivate_meter(call: Call) -> Object:
    return _move(call, "active", None)


def _move(call: Call, status: str, deactivated_at: int | None) -> Object:
    meter = call.store.get(usage.METER, call.id)
    if meter["status"] == status:
        raise invalid(f"The meter {meter['id']} is {status} already.")
    meter.update(
        status=status,
        status_transitions={"deactivated_at": deactivated_at},
        updated=call.sandbox.now(),
    )
    call.store.touched.set()
    word = "reactivated" if status == "active" else "deactivated"
    call.sandbox.emit(f"billing.meter.{word}", meter)
    return meter


@on("POST /v1/billing/meter_events")
def create_event(call: Call) -> Object:
    return usage.take_event(call.sandbox, call.params)


@on("POST /v1/billing/meter_event_adjustments")
def create_adjustment(call: Call) -> Object:
    meter = usage.meter_named(call.sandbox, call.params["event_name"])
    cancel = call.params.get("cancel") or {}
    identifier = cancel.get("identifier")
    if not identifier:
        raise invalid("Missing required param: cancel[identifier].", param="cancel[identifier]")
    usage.cancel_event(call.sandbox, meter, identifier)
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": meter["event_name"],
        "livemode": False,
        "status": "complete",
        "type": "cancel",
    }


@on("GET /v1/billing/meters/{id}/event_summaries")
def list_summaries(call: Call) -> Object:
    meter = call.store.get(usage.METER, call.id)
    customer = call.given("customer", "customer")
    assert customer is not None
    start, end = call.params["start_time"], call.params["end_time"]
    window = WINDOWS.get(call.params.get("value_grouping_window", ""))
    for name, moment in (("start_time", start), ("end_time", end)):
        if moment % (window or MINUTE):
            grain = call.params.get("value_grouping_window", "minute")
            raise invalid(f"{name} must be aligned with {grain} boundaries.", param=name)
    if start >= end:
        raise invalid("end_time must be after start_time.", param="end_time")
    found = usage.summaries(
        call.sandbox, meter, customer["id"], start=start, end=end, window=window
    )
    return paginate(found, call.params, url=call.path)
