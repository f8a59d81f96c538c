"""A key is replaced without a gap: for a while the old one and its successor both work."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from config.errors import InvalidInput
from keystore import tokens
from keystore.errors import KeyNotReplaced, KeyReplaced, KeyRevoked
from keystore.handover import offer_key
from keystore.keyrows import (
    INHERITED,
    IssuedKey,
    add_key,
    change_key,
    not_before,
    one_at_a_time,
    record,
    tell_of_key,
)
from keystore.models import ApiKey, KeyClaim

LONGEST_OVERLAP = timedelta(days=30)


@transaction.atomic
def rotate_key(
    *,
    key: ApiKey,
    overlap: timedelta,
    actor: str,
    reason: str,
    at: datetime,
    claimable: bool = False,
) -> IssuedKey:
    """A successor with the same place, limits and scopes; the old key works on for `overlap`.

    0 ends the old one at once; none ever lives longer than it would have. A key that is off gets
    a successor that is off. `claimable`: the text also waits for the buyer to collect it.
    Raises KeyReplaced, KeyRevoked, InvalidInput; then nothing was changed.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidInput(f"The old key may work on for 0 to {LONGEST_OVERLAP.days} days.")
    old = _key_to_replace(key, at)
    inherited = {name: getattr(old, name) for name in INHERITED}
    until = not_before(old.created_at, min(at + overlap, old.expires_at or at + overlap))
    ends = {"replaced_at": at, "expires_at": until}
    change_key(old, Q(), ends, act="key.replace", actor=actor, reason=reason)
    KeyClaim.objects.filter(key=old).update(sealed=b"")
    plaintext = tokens.new_token(old.environment)
    owner = old.app or old.consumer
    assert owner is not None  # key_has_one_owner
    new = add_key(
        project=old.project,
        owner=owner,
        plaintext=plaintext,
        replaces=old,
        counts_as=old.counts_as or old.public_id,
        created_at=at,
        **inherited,
    )
    if claimable:
        offer_key(key=new, plaintext=plaintext, at=at)
    return _told_of(IssuedKey(new, plaintext), until, actor, reason, at)


@transaction.atomic
def move_cutoff(
    *, key: ApiKey, overlap: timedelta, actor: str, reason: str, at: datetime
) -> datetime:
    """Let a replaced key work on for `overlap` from now; 0 cuts it off at once.

    At most 30 days from now, as often as it is needed, and never longer than its successor.
    Raises KeyNotReplaced, KeyRevoked (also once the overlap is over), InvalidInput.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidInput(f"The old key may work on for 0 to {LONGEST_OVERLAP.days} days.")
    rows = ApiKey.objects.select_for_update(of=("self",), no_key=True)
    row = rows.select_related("consumer", "app", "project").get(pk=key.pk)
    if row.replaced_at is None:
        raise KeyNotReplaced(f"{row} has no successor: rotate it first.")
    if row.revoked_at is not None or row.has_expired(at):
        raise KeyRevoked(f"{row} does not work any more: its holder needs the successor.")
    successor = row.replaced_by.filter(revoked_at=None).first()
    until = at + overlap
    if successor is not None and successor.expires_at is not None:
        until = min(until, successor.expires_at)
    until = not_before(row.created_at, until) or until
    wanted = {"expires_at": until}
    change_key(row, Q(), wanted, act="key.move_cutoff", actor=actor, reason=reason)
    key.expires_at = until
    return until


def _told_of(
    issued: IssuedKey, until: datetime | None, actor: str, reason: str, at: datetime
) -> IssuedKey:
    assert issued.key.replaces is not None
    told = {"replaces": issued.key.replaces.public_id, "old_key_works_until": until}
    record("key.rotate", issued.key, actor=actor, reason=reason, after=told)
    tell_of_key("key.rotated", issued.key, at=at, **told)
    return issued


def _key_to_replace(key: ApiKey, at: datetime) -> ApiKey:
    """The key's row, locked, if it may have a successor."""
    if key.consumer is not None:
        one_at_a_time(key.consumer)
    rows = ApiKey.objects.select_for_update(of=("self",), no_key=True)
    row = rows.select_related("consumer", "app", "project", "api").get(pk=key.pk)
    if row.replaced_by.filter(revoked_at=None).exists():
        raise KeyReplaced(f"{row} has a successor already: rotate that one.")
    if row.revoked_at is not None or row.has_expired(at):
        ended = "revoked" if row.revoked_at else "expired"
        raise KeyRevoked(f"{row} is {ended}: issue a new key instead.")
    return row
