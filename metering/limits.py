"""What a consumer's entitlements say of one meter's limit. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from entitlements.models import Enforcement, FeatureKind, Reset


@dataclass(frozen=True, slots=True)
class Terms:
    """`limit` None is unlimited, 0 is none. Not `entitled`: nothing may be used at all."""

    entitled: bool
    limit: Decimal | None
    reset: str
    hard: bool


NONE = Terms(entitled=False, limit=Decimal(0), reset=Reset.CALENDAR_MONTH, hard=True)


def terms_of(entitlements: Iterable[Mapping[str, Any]], feature_code: str) -> Terms:
    """The terms of a feature in the answer's list of entitlements.

    A feature that is no limit (boolean, config) opens its meter without one.
    """
    found = next((one for one in entitlements if one["feature_code"] == feature_code), None)
    if found is None or found["reason"] == "denied":
        return NONE
    if found["kind"] != FeatureKind.LIMIT:
        return Terms(entitled=bool(found["active"]), limit=None, reset=Reset.NEVER, hard=False)
    limit = found["limit"]
    return Terms(
        entitled=True,
        limit=None if limit is None else Decimal(limit),
        reset=found["reset"] or Reset.BILLING_PERIOD,
        hard=found["enforcement"] != Enforcement.SOFT,
    )
