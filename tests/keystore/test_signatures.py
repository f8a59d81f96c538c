"""Receivers check our signatures with the library that Standard Webhooks publishes."""

import base64
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from keystore.signatures import new_secret, signed_headers

BODY = '{"type":"key.created","data":{"name":"Grüße"}}'.encode()


def headers(*secrets, timestamp=None):
    return signed_headers(
        message_id="msg_1",
        timestamp=int(time.time()) if timestamp is None else timestamp,
        body=BODY,
        signing_secrets=secrets,
    )


def test_official_library_accepts_a_signature():
    secret = new_secret()

    assert Webhook(secret).verify(BODY, headers(secret))["type"] == "key.created"


def test_either_secret_is_accepted_while_one_rolls():
    old, new = new_secret(), new_secret()
    signed = headers(new, old)

    assert signed["webhook-signature"].count(" ") == 1
    assert Webhook(old).verify(BODY, signed) == Webhook(new).verify(BODY, signed)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (BODY + b" ", {}),
        (BODY, {"webhook-id": "msg_2"}),
        (BODY, {"webhook-timestamp": str(int(time.time()) - 60)}),
    ],
)
def test_anything_changed_on_the_way_is_refused(body, changed):
    secret = new_secret()
    signed = {**headers(secret), **changed}

    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, signed)


def test_old_capture_is_refused():
    secret = new_secret()

    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(BODY, headers(secret, timestamp=int(time.time()) - 301))


def test_secret_has_the_form_of_the_standard():
    secret = new_secret()

    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert new_secret() != secret
