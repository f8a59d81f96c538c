"""Handing a new key over: its sealed text waits for the buyer, and is told once."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.urls import reverse

from keystore.keyrows import record
from keystore.models import ApiKey, KeyClaim
from keystore.seal import seal, unseal

CLAIM_LASTS = timedelta(days=7)
SALT = "keystore.handover"
ACTOR = "system"


def offer_key(*, key: ApiKey, plaintext: str, at: datetime) -> None:
    """Keep the text of a new key, sealed, until the buyer collects it."""
    KeyClaim.objects.create(
        key=key, sealed=seal(plaintext), expires_at=at + CLAIM_LASTS, created_at=at
    )


@transaction.atomic
def claim_key(*, key: ApiKey, at: datetime) -> str | None:
    """The plaintext of a new key, handed over once. None: claimed before, too old or revoked."""
    open_claims = KeyClaim.objects.filter(
        key=key, claimed_at=None, expires_at__gt=at, key__revoked_at=None
    )
    claim = open_claims.select_for_update(of=("self",), no_key=True).first()
    if claim is None or not claim.sealed:
        return None
    plaintext = unseal(claim.sealed)
    claim.sealed, claim.claimed_at = b"", at
    claim.save(update_fields=["sealed", "claimed_at"])
    record("key.claim", key, actor=ACTOR)
    return plaintext


def is_waiting(key: ApiKey, at: datetime) -> bool:
    """Whether the key's text can still be collected."""
    claim = KeyClaim.objects.filter(key=key, claimed_at=None, expires_at__gt=at).first()
    return claim is not None and bool(claim.sealed) and key.revoked_at is None


def wipe_old_claims(*, at: datetime) -> int:
    """Forget the text of keys that nobody came for; how many there were."""
    return KeyClaim.objects.filter(expires_at__lte=at).exclude(sealed=b"").update(sealed=b"")


def claim_link(key: ApiKey) -> str:
    """Where the buyer collects the key, once. Whoever has the link can: it is as good as the key
    until then, and good for nothing afterwards.
    """
    token = signing.dumps(key.public_id, salt=SALT)
    return f"{settings.PUBLIC_URL}{reverse('collect-key', args=[token])}"


def key_of_link(token: str) -> ApiKey | None:
    """The key that a claim link is for; None when the link was not made here."""
    try:
        public_id = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return None
    rows = ApiKey.objects.select_related("consumer", "project", "api")
    return rows.filter(public_id=public_id).first()
