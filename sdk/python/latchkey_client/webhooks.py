"""Was this message sent by Latchkey? (Standard Webhooks)"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


class WebhookError(Exception):
    """The message is not authentic, or too old: answer 400 and do nothing."""


def verify_webhook(
    body: bytes, headers: Mapping[str, str], secrets: str | Sequence[str]
) -> dict[str, Any]:
    """The message, if one of the endpoint's secrets signed it within five minutes.

    `body` is the request's, byte by byte. While a secret rolls, name the old and the new one.
    """
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        try:
            Webhook(secret).verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            continue
        message = json.loads(body)
        if isinstance(message, dict):
            return message
    raise WebhookError("No secret of this endpoint signed this message lately.")
