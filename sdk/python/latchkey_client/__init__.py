"""Client of Latchkey: who may use what, how much was used, what was paid."""

from latchkey_client.aio import AsyncLatchkey
from latchkey_client.answers import (
    Check,
    CheckoutSession,
    Entitlement,
    Entitlements,
    PortalSession,
    Quota,
    Receipt,
    Reservation,
    Verification,
)
from latchkey_client.buffer import BufferFull
from latchkey_client.client import Latchkey
from latchkey_client.errors import (
    ApiError,
    Conflict,
    Forbidden,
    InvalidRequest,
    LatchkeyError,
    NotFound,
    RateLimited,
    Unauthorized,
    Unreachable,
)
from latchkey_client.policy import FAIL_CLOSED, FAIL_OPEN, FailPolicy
from latchkey_client.webhooks import WebhookError, verify_webhook

__all__ = [
    "FAIL_CLOSED",
    "FAIL_OPEN",
    "ApiError",
    "AsyncLatchkey",
    "BufferFull",
    "Check",
    "CheckoutSession",
    "Conflict",
    "Entitlement",
    "Entitlements",
    "FailPolicy",
    "Forbidden",
    "InvalidRequest",
    "Latchkey",
    "LatchkeyError",
    "NotFound",
    "PortalSession",
    "Quota",
    "RateLimited",
    "Receipt",
    "Reservation",
    "Unauthorized",
    "Unreachable",
    "Verification",
    "WebhookError",
    "verify_webhook",
]
