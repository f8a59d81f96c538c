"""The client knows our signatures, and nobody else's."""

import json
import time

import pytest
from latchkey_client import WebhookError, verify_webhook

from keystore.signatures import new_secret, signed_headers

BODY = json.dumps({"type": "entitlements.changed", "data": {"user_id": "alice"}}).encode()


def signed(*signing_secrets, at=0):
    return signed_headers(
        message_id="msg_1",
        timestamp=int(time.time()) + at,
        body=BODY,
        signing_secrets=signing_secrets,
    )


def test_message_of_ours_is_read():
    secret = new_secret()
    assert verify_webhook(BODY, signed(secret), secret)["data"] == {"user_id": "alice"}


def test_either_secret_serves_while_one_rolls():
    old, new = new_secret(), new_secret()
    for signing in ((old,), (new,), (new, old)):
        assert verify_webhook(BODY, signed(*signing), [new, old])["type"] == "entitlements.changed"


@pytest.mark.parametrize(
    ("body", "at"), [(BODY + b" ", 0), (BODY, -301), (BODY, 301), (b"[]", 0), (b"\xff", 0)]
)
def test_forged_old_and_unreadable_messages_are_refused(body, at):
    secret = new_secret()
    with pytest.raises(WebhookError):
        verify_webhook(body, signed(secret, at=at), secret)


def test_foreign_signature_is_refused():
    with pytest.raises(WebhookError):
        verify_webhook(BODY, signed(new_secret()), new_secret())


def test_unsigned_message_is_refused():
    with pytest.raises(WebhookError):
        verify_webhook(BODY, {}, new_secret())
