"""Recording usage from Python, one use per call, and asking first whether it would be allowed."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from keystore.ids import new_id
from keystore.models import Consumer
from metering.errors import InvalidEvent
from metering.ingest import Receipt, record
from metering.models import Meter
from metering.quotas import standing_of
from metering.selectors import meter_by_code, quota_of
from metering.told import told

TOKENS, API_CALLS, SCRAPING_TASKS = "tokens", "api_calls", "scraping_tasks"


def record_usage(
    *,
    consumer: Consumer,
    meter: Meter | str,
    quantity: Decimal | int | str = 1,
    event_id: str = "",
    source: str = "",
    occurred_at: datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
    at: datetime,
) -> Receipt:
    """Count one use. The same `event_id` counts once, for ever; without one, each call counts.

    The receipt says accepted, duplicate, conflict or rejected, and why.
    """
    try:
        properties = orjson.dumps(dict(metadata or {}))
    except orjson.JSONEncodeError as error:
        raise InvalidEvent(f"metadata must be plain JSON: {error}.") from error
    event = told(
        id=event_id or new_id("use"),
        source=source,
        meter=meter.code if isinstance(meter, Meter) else meter,
        user_id=consumer.external_id,
        quantity=f'"{quantity}"'.encode(),
        occurred_at=occurred_at,
        properties=properties,
        api="",
        key="",
    )
    (receipt,) = record(project=consumer.project, events=[event], at=at)
    return receipt


def check_quota(
    *, consumer: Consumer, meter: Meter | str, quantity: Decimal | int = 1, at: datetime
) -> tuple[bool, str | None]:
    """Whether so much would be taken now, and if not, why. Takes nothing."""
    code = meter.code if isinstance(meter, Meter) else meter
    found = meter_by_code(project=consumer.project, code=code)
    standing = standing_of(consumer=consumer, meter=found, at=at)
    if not standing.terms.entitled:
        return False, f"The plan does not contain {code}."
    if found.feature is None or standing.terms.limit is None or not standing.terms.hard:
        return True, None
    left = quota_of(consumer=consumer, meter=found, at=at)[0].left
    available = (left.remaining or Decimal(0)) + left.credits
    if quantity <= available:
        return True, None
    return False, f"{available.normalize():f} {code} left of {standing.terms.limit}."


def record_token_usage(
    *,
    consumer: Consumer,
    tokens: int,
    metadata: Mapping[str, Any] | None = None,
    event_id: str = "",
    at: datetime,
) -> Receipt:
    """Count tokens of a language model."""
    return record_usage(
        consumer=consumer,
        meter=TOKENS,
        quantity=tokens,
        metadata=metadata,
        event_id=event_id,
        at=at,
    )


def record_api_call_usage(
    *,
    consumer: Consumer,
    calls: int = 1,
    metadata: Mapping[str, Any] | None = None,
    event_id: str = "",
    at: datetime,
) -> Receipt:
    """Count calls of an API."""
    return record_usage(
        consumer=consumer,
        meter=API_CALLS,
        quantity=calls,
        metadata=metadata,
        event_id=event_id,
        at=at,
    )


def record_scraping_task_usage(
    *,
    consumer: Consumer,
    tasks: int = 1,
    metadata: Mapping[str, Any] | None = None,
    event_id: str = "",
    at: datetime,
) -> Receipt:
    """Count scraping tasks."""
    return record_usage(
        consumer=consumer,
        meter=SCRAPING_TASKS,
        quantity=tasks,
        metadata=metadata,
        event_id=event_id,
        at=at,
    )


def check_token_quota(
    *, consumer: Consumer, requested_tokens: int = 1, at: datetime
) -> tuple[bool, str | None]:
    """Whether so many tokens may be used now, and if not, why."""
    return check_quota(consumer=consumer, meter=TOKENS, quantity=requested_tokens, at=at)


def check_api_call_quota(
    *, consumer: Consumer, requested_calls: int = 1, at: datetime
) -> tuple[bool, str | None]:
    """Whether so many calls may be made now, and if not, why."""
    return check_quota(consumer=consumer, meter=API_CALLS, quantity=requested_calls, at=at)


def check_scraping_task_quota(
    *, consumer: Consumer, requested_tasks: int = 1, at: datetime
) -> tuple[bool, str | None]:
    """Whether so many tasks may be started now, and if not, why."""
    return check_quota(consumer=consumer, meter=SCRAPING_TASKS, quantity=requested_tasks, at=at)
