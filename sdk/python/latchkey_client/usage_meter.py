"""The names that programs may know from a metering module of their own.

Where those took a database session, these take the client:

    allowed, error = check_token_quota(client, user_id, requested_tokens=1000)
    record_token_usage(client, user_id, tokens=500, metadata={"model": "small"})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latchkey_client.client import Latchkey

TOKENS = "tokens"
API_CALLS = "api_calls"
SCRAPING_TASKS = "scraping_tasks"

Verdict = tuple[bool, "str | None"]  # allowed, and why not


def record_token_usage(
    client: Latchkey, user_id: str, tokens: int, metadata: Mapping[str, Any] | None = None
) -> str:
    """The id of the event, which is sent in a moment."""
    return client.usage.record(TOKENS, user_id, tokens, properties=metadata)


def record_api_call_usage(
    client: Latchkey, user_id: str, calls: int = 1, metadata: Mapping[str, Any] | None = None
) -> str:
    return client.usage.record(API_CALLS, user_id, calls, properties=metadata)


def record_scraping_task_usage(
    client: Latchkey, user_id: str, tasks: int = 1, metadata: Mapping[str, Any] | None = None
) -> str:
    return client.usage.record(SCRAPING_TASKS, user_id, tasks, properties=metadata)


def check_token_quota(client: Latchkey, user_id: str, requested_tokens: int = 1) -> Verdict:
    return _check(client, user_id, TOKENS, requested_tokens)


def check_api_call_quota(client: Latchkey, user_id: str, requested_calls: int = 1) -> Verdict:
    return _check(client, user_id, API_CALLS, requested_calls)


def check_scraping_task_quota(client: Latchkey, user_id: str, requested_tasks: int = 1) -> Verdict:
    return _check(client, user_id, SCRAPING_TASKS, requested_tasks)


def _check(client: Latchkey, user_id: str, feature_code: str, quantity: int) -> Verdict:
    found = client.check(user_id, feature_code, quantity=quantity)
    return found.allowed, None if found.allowed else found.reason or found.code
