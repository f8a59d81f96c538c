"""Usage that meters count: events taken in, cancelled, and added up for a customer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sandbox.errors import invalid
from sandbox.store import Object, random_text

if TYPE_CHECKING:
    from sandbox.world import Sandbox

METER = "billing.meter"
DAY = 86_400
OLDEST_SECONDS = 35 * DAY
AHEAD_SECONDS = 5 * 60
# Stripe promises at least so long: a stand-in that keeps them longer would hide a second charge.
UNIQUE_SECONDS = DAY
CANCEL_SECONDS = DAY
WHOLE = re.compile(r"-?\d{1,15}")


def meter_named(sandbox: Sandbox, event_name: str) -> Object:
    """The active meter that listens to events of the name."""
    for meter in sandbox.store.all(METER):
        if meter["event_name"] == event_name and meter["status"] == "active":
            return meter
    raise invalid(f"No active meter found for event name {event_name}.", param="event_name")


def take_event(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    """`given` are the parameters of POST /v1/billing/meter_events."""
    meter = meter_named(sandbox, given["event_name"])
    payload = given["payload"]
    customer = _customer(sandbox, meter, payload)
    now = sandbox.now(customer)
    timestamp = given.get("timestamp", now)
    _check_timestamp(timestamp, now)
    value = _value(meter, payload)
    identifier = given.get("identifier") or random_text(24)
    _claim(sandbox, meter, identifier, now)
    made = {
        "identifier": identifier,
        "value": value,
        "timestamp": timestamp,
        "received": now,
        "cancelled": False,
    }
    _events(sandbox, meter).setdefault(customer["id"], []).append(made)
    sandbox.store.touched.set()
    return {
        "object": "billing.meter_event",
        "created": now,
        "event_name": meter["event_name"],
        "identifier": identifier,
        "livemode": False,
        "payload": dict(payload),
        "timestamp": timestamp,
    }


def _customer(sandbox: Sandbox, meter: Object, payload: dict[str, str]) -> Object:
    key = meter["customer_mapping"]["event_payload_key"]
    if not payload.get(key):
        raise invalid(f"Missing required payload key: {key}.", param=f"payload[{key}]")
    return sandbox.store.get("customer", payload[key], param=f"payload[{key}]", status=400)


def _check_timestamp(timestamp: int, now: int) -> None:
    if timestamp < now - OLDEST_SECONDS:
        message = "The timestamp must be within the past 35 calendar days."
        raise invalid(message, param="timestamp", code="timestamp_too_far_in_past")
    if timestamp > now + AHEAD_SECONDS:
        message = "The timestamp may not be more than 5 minutes in the future."
        raise invalid(message, param="timestamp", code="timestamp_in_future")


def _value(meter: Object, payload: dict[str, str]) -> int:
    """Whole numbers only, negative ones included, as Stripe's guide says."""
    key = meter["value_settings"]["event_payload_key"]
    if meter["default_aggregation"]["formula"] == "count" and key not in payload:
        return 1
    text = payload.get(key, "")
    if not WHOLE.fullmatch(text):
        message = f"The payload's {key} must be a whole number; it is {text!r}."
        raise invalid(message, param=f"payload[{key}]")
    return int(text)


def _claim(sandbox: Sandbox, meter: Object, identifier: str, now: int) -> None:
    known = sandbox.store.secret(meter["id"], "identifiers", {})
    if known.get(identifier, now - UNIQUE_SECONDS) > now - UNIQUE_SECONDS:
        message = f"An event already exists with identifier {identifier}."
        raise invalid(message, param="identifier")
    sandbox.store.hide(meter["id"], identifiers={**known, identifier: now})


def _events(sandbox: Sandbox, meter: Object) -> dict[str, list[dict[str, Any]]]:
    """The meter's events by customer."""
    held: dict[str, list[dict[str, Any]]] | None = sandbox.store.secret(meter["id"], "events")
    if held is None:
        held = {}
        sandbox.store.hide(meter["id"], events=held)
    return held


def cancel_event(sandbox: Sandbox, meter: Object, identifier: str) -> None:
    """Take back one event that arrived within a day; a finalized invoice stays as it is."""
    found = [
        (customer, event)
        for customer, events in _events(sandbox, meter).items()
        for event in events
        if event["identifier"] == identifier
    ]
    if not found:
        message = f"No event exists with identifier {identifier}."
        raise invalid(message, param="cancel[identifier]", code="resource_missing")
    customer, event = found[-1]
    now = sandbox.now(sandbox.store.find(customer))
    if event["cancelled"]:
        raise invalid(f"The event {identifier} is cancelled already.", param="cancel[identifier]")
    if event["received"] < now - CANCEL_SECONDS:
        message = "You can only cancel events within 24 hours of Stripe receiving them."
        raise invalid(message, param="cancel[identifier]")
    event["cancelled"] = True
    sandbox.store.touched.set()


def counted(
    sandbox: Sandbox, meter: Object, customer: str, start: int, end: int
) -> list[dict[str, Any]]:
    """The customer's events of the half-open interval, by their own time."""
    return [
        event
        for event in _events(sandbox, meter).get(customer, [])
        if start <= event["timestamp"] < end and not event["cancelled"]
    ]


def aggregate(meter: Object, events: Iterable[dict[str, Any]]) -> int:
    """Sum, number or latest of the events, as the meter says."""
    held = list(events)
    formula = meter["default_aggregation"]["formula"]
    if formula == "count":
        return len(held)
    if formula == "last":
        # Of several of one second the one that came last: a sort keeps their order.
        return int(sorted(held, key=lambda event: event["timestamp"])[-1]["value"]) if held else 0
    return sum(event["value"] for event in held)


def used(sandbox: Sandbox, price: Object, customer: str, period: tuple[int, int]) -> int:
    """What a metered price bills for the period: never less than nothing."""
    meter = sandbox.store.get(METER, price["recurring"]["meter"])
    return max(0, aggregate(meter, counted(sandbox, meter, customer, *period)))


def is_metered(price: Object) -> bool:
    return (price["recurring"] or {}).get("usage_type") == "metered"


def summaries(
    sandbox: Sandbox, meter: Object, customer: str, *, start: int, end: int, window: int | None
) -> list[Object]:
    """One summary for each window that has events, newest first; one in all without a window."""
    events = counted(sandbox, meter, customer, start, end)
    if window is None:
        return [_summary(meter, customer, start, end, events)] if events else []
    groups: dict[int, list[dict[str, Any]]] = {}
    for event in events:
        groups.setdefault(event["timestamp"] // window * window, []).append(event)
    return [
        _summary(meter, customer, begin, begin + window, groups[begin])
        for begin in sorted(groups, reverse=True)
    ]


def _summary(
    meter: Object, customer: str, start: int, end: int, events: list[dict[str, Any]]
) -> Object:
    return {
        "id": f"mtrusg_test_{meter['id'][4:12]}{customer[4:12]}{start}",
        "object": "billing.meter_event_summary",
        "aggregated_value": float(aggregate(meter, events)),
        "end_time": end,
        "livemode": False,
        "meter": meter["id"],
        "start_time": start,
    }
