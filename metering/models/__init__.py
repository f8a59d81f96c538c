"""How much was used: one module per subject, one name space for the rest of the code."""

from metering.models.credits import CreditEntry, CreditKind, CreditPack, CreditSource
from metering.models.events import UsageEvent, UsageKey, UsageRejection
from metering.models.meters import Aggregation, Cycle, Interval, Meter
from metering.models.policies import FailPolicy, OnFailure
from metering.models.quotas import (
    QuotaBalance,
    QuotaNotice,
    QuotaUnique,
    Reservation,
    ReservationState,
)
from metering.models.totals import Grain, UsageDistinct, UsageTotal, Watermark

__all__ = [
    "Aggregation",
    "CreditEntry",
    "CreditKind",
    "CreditPack",
    "CreditSource",
    "Cycle",
    "FailPolicy",
    "Grain",
    "Interval",
    "Meter",
    "OnFailure",
    "QuotaBalance",
    "QuotaNotice",
    "QuotaUnique",
    "Reservation",
    "ReservationState",
    "UsageDistinct",
    "UsageEvent",
    "UsageKey",
    "UsageRejection",
    "UsageTotal",
    "Watermark",
]
