"""A request that passes the gateway takes from a quota in the same decision."""

import math
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from keystore.models import ApiKey
from metering import quotas
from metering.amounts import shown
from metering.models import Aggregation, Meter
from metering.quotas import Left, Verdict

SOURCE = "latchkey:gateway"
LONGEST_REQUEST_ID = 64
NEVER_SECONDS = 86_400  # told when a limit never starts anew


def take_for_request(
    *, key: ApiKey, meter: str, quantity: int, request_id: str, at: datetime
) -> Verdict:
    """Take `quantity` from the quota of the key's consumer; 0 only looks.

    The same request of the same key is counted once, if it has an id. What nobody can use (an
    unknown meter, a key of an app) is not entitled.
    """
    found = _meter(key, meter)
    if key.consumer is None or found is None:
        return Verdict(False, "feature_not_entitled", quotas.nothing_left(), None)
    if quantity == 0:
        return _looked_at(key, found, at)
    return quotas.take(
        consumer=key.consumer,
        meter=found,
        quantity=quantity,
        event_id=_event_id(key, found, quantity, request_id),
        at=at,
        source=SOURCE,
        api=key.api,
        key=key,
    )


def quota_shown(meter: str, verdict: Verdict) -> dict[str, Any]:
    left = verdict.left
    return {
        "meter": meter,
        "limit": shown(left.limit),
        "used": shown(left.used),
        "remaining": shown(left.remaining),
        "credits": shown(left.credits),
        "resets_at": verdict.resets_at and verdict.resets_at.isoformat(),
    }


def quota_headers(verdict: Verdict, at: datetime) -> dict[str, str]:
    """Empty is unlimited, or that it never starts anew."""
    told = {"Limit": verdict.left.limit, "Remaining": verdict.left.remaining}
    headers = {
        f"X-Quota-{name}": "" if value is None else text_of(value) for name, value in told.items()
    }
    reset = "" if verdict.resets_at is None else str(seconds_until(verdict.resets_at, at))
    return {**headers, "X-Quota-Reset": reset}


def seconds_until(resets_at: datetime | None, at: datetime) -> int:
    if resets_at is None:
        return NEVER_SECONDS
    return max(1, math.ceil((resets_at - at).total_seconds()))


def text_of(value: Decimal) -> str:
    """Digits as they are: nothing is rounded, and no exponent."""
    whole = value == value.to_integral_value()
    return str(int(value)) if whole else format(value.normalize(), "f")


def _meter(key: ApiKey, code: str) -> Meter | None:
    if "\x00" in code:
        return None
    rows = Meter.objects.filter(project=key.project_id, code=code, archived_at=None)
    # A request tells no value of which distinct ones could be counted.
    rows = rows.exclude(aggregation=Aggregation.UNIQUE)
    return rows.select_related("feature").first()


def _looked_at(key: ApiKey, meter: Meter, at: datetime) -> Verdict:
    assert key.consumer is not None
    standing = quotas.standing_of(consumer=key.consumer, meter=meter, at=at)
    left: Left = quotas.stored_left(consumer=key.consumer, meter=meter, standing=standing)
    entitled = standing.terms.entitled
    return Verdict(entitled, "" if entitled else "feature_not_entitled", left, standing.period.end)


def _event_id(key: ApiKey, meter: Meter, quantity: int, request_id: str) -> str:
    """Another use under the same id is a use of its own: neither free nor refused."""
    if not request_id:
        return ""
    plain = len(request_id) <= LONGEST_REQUEST_ID and request_id.isascii()
    if not (plain and request_id.isprintable()):
        request_id = sha256(request_id.encode(errors="replace")).hexdigest()
    return f"{request_id}:{key.public_id}:{meter.code}:{quantity}"
