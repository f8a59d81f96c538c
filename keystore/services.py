"""Every change to consumers and keys. One function is one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from config.errors import Conflict, InvalidInput
from keystore import audit, tokens
from keystore.addresses import normal_networks
from keystore.errors import ConsumerNotFound
from keystore.ids import CONSUMER_ID
from keystore.models import (
    Api,
    ApiKey,
    App,
    Consumer,
    DisabledBecause,
    Environment,
    KeyClaim,
    Project,
)
from keystore.seal import seal, unseal
from keystore.selectors import consumer_of

CLAIM_LASTS = timedelta(days=7)
SYSTEM = "system"


@dataclass(frozen=True)
class IssuedKey:
    """A new key and its text, which is shown once and kept nowhere."""

    key: ApiKey
    plaintext: str


@transaction.atomic
def register_consumer(
    *, project: Project, external_id: str, email: str = "", name: str = ""
) -> Consumer:
    """The project's consumer with this id, made if there is none. Fills in what was missing.

    An id of ours (con_...) finds its consumer and never makes one: raises NotFound.
    """
    if CONSUMER_ID.fullmatch(external_id):
        known = consumer_of(project=project, user_id=external_id)
        if known is None:
            raise ConsumerNotFound("There is no such consumer in this project: check user_id.")
        external_id = known.external_id
    consumer, created = Consumer.objects.get_or_create(
        project=project, external_id=external_id, defaults={"email": email, "name": name}
    )
    if created:
        audit.record(actor=SYSTEM, act="consumer.register", target=consumer, consumer=consumer)
        return consumer
    for field, value in {"email": email, "name": name}.items():
        if value and not getattr(consumer, field):
            missing = Consumer.objects.filter(pk=consumer.pk, **{field: ""})
            if missing.update(**{field: value}):
                setattr(consumer, field, value)
    return consumer


@transaction.atomic
def issue_key(
    *,
    project: Project,
    owner: App | Consumer,
    environment: str = Environment.LIVE,
    api: Api | None = None,
    name: str = "",
    scopes: Sequence[str] = (),
    own_limit_per_minute: int | None = None,
    own_burst: int | None = None,
    allowed_cidrs: Sequence[str] = (),
    expires_at: datetime | None = None,
    metadata: dict[str, Any] | None = None,
    actor: str,
    reason: str = "",
    at: datetime,
) -> IssuedKey:
    """A new key of `owner`. Its plaintext exists only in the answer."""
    if expires_at is not None and expires_at <= at:
        raise InvalidInput("A key must expire in the future: choose a later expires_at.")
    plaintext = tokens.new_token(environment)
    key = _add_key(
        project=project,
        owner=owner,
        plaintext=plaintext,
        environment=environment,
        api=api,
        name=name,
        scopes=list(scopes),
        own_limit_per_minute=own_limit_per_minute,
        own_burst=own_burst,
        allowed_cidrs=normal_networks(allowed_cidrs),
        expires_at=expires_at,
        metadata=metadata or {},
        created_at=at,
    )
    _record("key.issue", key, actor=actor, reason=reason, after={"scopes": key.scopes})
    return IssuedKey(key, plaintext)


@transaction.atomic
def import_key(
    *,
    project: Project,
    owner: App | Consumer,
    plaintext: str,
    name: str = "",
    scopes: Sequence[str] = (),
    actor: str,
    at: datetime,
) -> ApiKey:
    """Take over a key that exists elsewhere. The same key of the same owner is found again.

    Raises Conflict when somebody else holds that key.
    """
    if not tokens.is_plausible(plaintext):
        raise InvalidInput("A key is 8 to 200 visible ASCII characters without spaces.")
    known = ApiKey.objects.filter(digest__in=tokens.digests(plaintext)).first()
    if known is None:
        known = _add_key(
            project=project,
            owner=owner,
            plaintext=plaintext,
            environment=Environment.LIVE,
            name=name,
            scopes=list(scopes),
            created_at=at,
        )
        _record("key.import", known, actor=actor, after={"scopes": known.scopes})
    if (known.project_id, known.app_id, known.consumer_id) != (project.pk, *_owner_ids(owner)):
        raise Conflict("This key belongs to somebody else: import another one.")
    return known


@transaction.atomic
def provision_key(
    *,
    consumer: Consumer,
    slot: str,
    environment: str,
    api: Api | None = None,
    limit_per_minute: int | None,
    expires_at: datetime | None,
    metadata: dict[str, Any],
    at: datetime,
) -> ApiKey:
    """The one key of `slot`, made at the first call and kept up to date by every later one.

    A new key waits 7 days to be claimed. A key suspended for want of payment works again; one
    that was revoked stays revoked and is not replaced.
    """
    # Calls for one consumer go one after another, so that the slot is filled once.
    Consumer.objects.select_for_update(of=("self",), no_key=True).get(pk=consumer.pk)
    terms = {
        "api": api,
        "plan_limit_per_minute": limit_per_minute,
        "expires_at": expires_at,
        "metadata": metadata,
    }
    newest = ApiKey.objects.filter(project_id=consumer.project_id, provisioned_for=slot)
    key = newest.select_related("consumer", "project", "api").order_by("pk").last()
    if key is None:
        return _fill_slot(consumer, slot, environment, terms, at)
    if key.consumer_id != consumer.pk:
        raise Conflict("This slot's key belongs to another consumer.")
    if key.revoked_at is None:
        _bring_up_to_date(key, terms)
    return key


@transaction.atomic
def suspend_key(*, project: Project, slot: str, at: datetime) -> bool:
    """Switch the slot's key off until it is paid for again. What staff decided stays."""
    key = ApiKey.objects.filter(project=project, provisioned_for=slot, revoked_at=None).first()
    return key is not None and _change(
        key,
        Q(disabled_at=None),
        {"disabled_at": at, "disabled_because": DisabledBecause.PAYMENT},
        act="key.suspend",
        actor=SYSTEM,
    )


@transaction.atomic
def retire_key(*, project: Project, slot: str, reason: str, at: datetime) -> bool:
    """Revoke the slot's key for good: what it was made for has ended."""
    key = ApiKey.objects.filter(project=project, provisioned_for=slot, revoked_at=None).first()
    return key is not None and revoke_key(key=key, actor=SYSTEM, reason=reason, at=at)


@transaction.atomic
def set_plan_limit(*, project: Project, slots: Sequence[str], limit_per_minute: int | None) -> int:
    """Give the keys of these slots their plan's new rate limit; own limits still win."""
    keys = ApiKey.objects.filter(project=project, provisioned_for__in=slots, revoked_at=None)
    limit = {"plan_limit_per_minute": limit_per_minute}
    ordered = keys.select_related("consumer", "project").order_by("pk")
    return sum(_change(key, Q(), limit, act="key.update", actor=SYSTEM) for key in ordered)


def disable_key(*, key: ApiKey, actor: str, reason: str, at: datetime) -> bool:
    """Switch a key off until staff switch it on again; outranks a missing payment."""
    return _change(
        key,
        ~Q(disabled_because=DisabledBecause.STAFF),
        {"disabled_at": at, "disabled_because": DisabledBecause.STAFF},
        act="key.disable",
        actor=actor,
        reason=reason,
    )


def enable_key(*, key: ApiKey, actor: str, reason: str, at: datetime) -> bool:
    """Switch on a key that staff switched off; one that is not paid for stays off."""
    return _change(
        key,
        Q(disabled_because=DisabledBecause.STAFF),
        {"disabled_at": None, "disabled_because": ""},
        act="key.enable",
        actor=actor,
        reason=reason,
    )


@transaction.atomic
def revoke_key(*, key: ApiKey, actor: str, reason: str, at: datetime) -> bool:
    """End a key for ever. False, changing nothing, if it was revoked before."""
    changed = _change(key, Q(), {"revoked_at": at}, act="key.revoke", actor=actor, reason=reason)
    if changed:
        KeyClaim.objects.filter(key=key).update(sealed=b"")
    return changed


@transaction.atomic
def claim_key(*, key: ApiKey, at: datetime) -> str | None:
    """The plaintext of a new key, handed over once. None: claimed before, too old or revoked."""
    open_claims = KeyClaim.objects.filter(
        key=key, claimed_at=None, expires_at__gt=at, key__revoked_at=None
    )
    claim = open_claims.select_for_update(of=("self",)).first()
    if claim is None or not claim.sealed:
        return None
    plaintext = unseal(claim.sealed)
    claim.sealed, claim.claimed_at = b"", at
    claim.save(update_fields=["sealed", "claimed_at"])
    _record("key.claim", key, actor=SYSTEM)
    return plaintext


def wipe_old_claims(*, at: datetime) -> int:
    """Forget the text of keys that nobody came for; how many there were."""
    return KeyClaim.objects.filter(expires_at__lte=at).exclude(sealed=b"").update(sealed=b"")


def _fill_slot(
    consumer: Consumer, slot: str, environment: str, terms: dict[str, Any], at: datetime
) -> ApiKey:
    plaintext = tokens.new_token(environment)
    key = _add_key(
        project=consumer.project,
        owner=consumer,
        plaintext=plaintext,
        environment=environment,
        provisioned_for=slot,
        created_at=at,
        **{**terms, "expires_at": _after(at, terms["expires_at"])},
    )
    KeyClaim.objects.create(
        key=key, sealed=seal(plaintext), expires_at=at + CLAIM_LASTS, created_at=at
    )
    _record("key.provision", key, actor=SYSTEM, after={"slot": slot})
    return key


def _bring_up_to_date(key: ApiKey, terms: dict[str, Any]) -> None:
    wanted = {**terms, "expires_at": _after(key.created_at, terms["expires_at"])}
    if key.disabled_because == DisabledBecause.PAYMENT:
        wanted |= {"disabled_at": None, "disabled_because": ""}
    _change(key, Q(), wanted, act="key.update", actor=SYSTEM)


def _after(start: datetime, end: datetime | None) -> datetime | None:
    """`end`, or the first instant after `start`: a period that is over leaves a key expired."""
    return None if end is None else max(end, start + timedelta(microseconds=1))


def _add_key(*, project: Project, owner: App | Consumer, plaintext: str, **fields: Any) -> ApiKey:
    if owner.project_id != project.pk:
        raise InvalidInput("The key's owner is not of this project.")
    prefix, last4 = tokens.visible_parts(plaintext)
    return ApiKey.objects.create(
        project=project,
        app=owner if isinstance(owner, App) else None,
        consumer=owner if isinstance(owner, Consumer) else None,
        digest=tokens.digest(plaintext),
        prefix=prefix,
        last4=last4,
        **fields,
    )


def _owner_ids(owner: App | Consumer) -> tuple[int | None, int | None]:
    return (owner.pk, None) if isinstance(owner, App) else (None, owner.pk)


@transaction.atomic
def _change(
    key: ApiKey, unless_moved: Q, wanted: dict[str, Any], *, act: str, actor: str, reason: str = ""
) -> bool:
    """Set `wanted` on a key that is not revoked and still meets the condition; audit it."""
    fresh = ApiKey.objects.select_for_update(of=("self",)).filter(unless_moved, revoked_at=None)
    current = fresh.filter(pk=key.pk).first()
    if current is None:
        return False
    changes = {name: value for name, value in wanted.items() if getattr(current, name) != value}
    for name, value in wanted.items():
        setattr(key, name, value)
    if not changes:
        return False
    before = {name: _told(getattr(current, name)) for name in changes}
    after = {name: _told(value) for name, value in changes.items()}
    ApiKey.objects.filter(pk=key.pk).update(**changes)
    _record(act, key, actor=actor, reason=reason, before=before, after=after)
    return True


def _told(value: object) -> object:
    return value.code if isinstance(value, Api) else value


def _record(act: str, key: ApiKey, *, actor: str, **told: Any) -> None:
    audit.record(actor=actor, act=act, target=key, consumer=key.consumer, **told)
