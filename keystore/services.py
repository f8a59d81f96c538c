"""Every change to consumers and keys. One function is one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from config.errors import Conflict, InvalidInput
from keystore import audit, tokens
from keystore.addresses import normal_networks
from keystore.errors import ConsumerNotFound, KeyNotPaidFor, KeyRevoked
from keystore.handover import offer_key
from keystore.ids import CONSUMER_ID
from keystore.keyrows import (
    IssuedKey,
    add_key,
    change_key,
    in_future,
    not_before,
    one_at_a_time,
    record,
    tell_of_key,
)
from keystore.limits import normal_limits
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
from keystore.selectors import consumer_of, survivor_of

SYSTEM = "system"


@transaction.atomic
def register_consumer(
    *,
    project: Project,
    external_id: str,
    email: str = "",
    name: str = "",
    actor: str = SYSTEM,
    reason: str = "",
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
        audit.record(
            actor=actor, act="consumer.register", target=consumer, consumer=consumer, reason=reason
        )
        return consumer
    consumer = survivor_of(consumer)
    for field, value in {"email": email, "name": name}.items():
        if value and not getattr(consumer, field):
            missing = Consumer.objects.filter(pk=consumer.pk, **{field: ""})
            if missing.update(**{field: value}):
                setattr(consumer, field, value)
    return consumer


@transaction.atomic
def change_consumer(*, consumer: Consumer, actor: str, reason: str = "", **wanted: str) -> bool:
    """Set the `email` or the `name`. The audit trail keeps which of them, never what it says."""
    current = Consumer.objects.select_for_update(no_key=True, of=("self",)).get(pk=consumer.pk)
    changed = {name: text for name, text in wanted.items() if getattr(current, name) != text}
    if not changed:
        return False
    Consumer.objects.filter(pk=consumer.pk).update(**changed)
    for name, text in changed.items():
        setattr(consumer, name, text)
    audit.record(
        actor=actor,
        act="consumer.change",
        target=consumer,
        consumer=consumer,
        after={"changed": sorted(changed)},
        reason=reason,
    )
    return True


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
    named_limits: dict[str, Any] | None = None,
    allowed_cidrs: Sequence[str] = (),
    expires_at: datetime | None = None,
    metadata: dict[str, Any] | None = None,
    actor: str,
    reason: str = "",
    at: datetime,
) -> IssuedKey:
    """A new key of `owner`. Its plaintext exists only in the answer."""
    plaintext = tokens.new_token(environment)
    key = add_key(
        project=project,
        owner=owner,
        plaintext=plaintext,
        environment=environment,
        api=api,
        name=name,
        scopes=list(scopes),
        own_limit_per_minute=own_limit_per_minute,
        own_burst=own_burst,
        named_limits=normal_limits(named_limits or {}),
        allowed_cidrs=normal_networks(allowed_cidrs),
        expires_at=in_future(expires_at, at),
        metadata=metadata or {},
        created_at=at,
    )
    record("key.issue", key, actor=actor, reason=reason, after={"scopes": key.scopes})
    tell_of_key("key.created", key, at=at)
    return IssuedKey(key, plaintext)


@transaction.atomic
def issue_key_to_collect(*, at: datetime, **terms: Any) -> IssuedKey:
    """A new key, by the terms of `issue_key`, whose text also waits for the buyer to collect it."""
    issued = issue_key(at=at, **terms)
    offer_key(key=issued.key, plaintext=issued.plaintext, at=at)
    return issued


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
        known = add_key(
            project=project,
            owner=owner,
            plaintext=plaintext,
            environment=Environment.LIVE,
            name=name,
            scopes=list(scopes),
            created_at=at,
        )
        record("key.import", known, actor=actor, after={"scopes": known.scopes})
        tell_of_key("key.created", known, at=at)
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
    that was revoked stays revoked and is not replaced. Keys that were rotated out of the slot
    follow it until their overlap ends, which no payment prolongs.
    """
    # Calls for one consumer go one after another, so that the slot is filled once.
    one_at_a_time(consumer)
    terms = {
        "api": api,
        "plan_limit_per_minute": limit_per_minute,
        "expires_at": expires_at,
        "metadata": metadata,
    }
    keys = list(_keys_of_slot(consumer.project, slot))
    if not keys:
        return _fill_slot(consumer, slot, environment, terms, at)
    if any(key.consumer_id != consumer.pk for key in keys):
        raise Conflict("This slot's key belongs to another consumer.")
    for key in keys:
        if key.revoked_at is None and not (key.replaced_at and key.has_expired(at)):
            _bring_up_to_date(key, terms, at)
    return keys[-1]


@transaction.atomic
def suspend_key(*, project: Project, slot: str, at: datetime) -> bool:
    """Switch the slot's keys off until they are paid for again. What staff decided stays."""
    switched_off = [_suspend(key, at) for key in _keys_of_slot(project, slot)]
    return any(switched_off)


def _suspend(key: ApiKey, at: datetime) -> bool:
    wanted: dict[str, Any] = {"unpaid_since": key.unpaid_since or at}
    if key.disabled_at is None:
        wanted |= {"disabled_at": at, "disabled_because": DisabledBecause.PAYMENT}
    # One that is on although it is known as unpaid was switched on past us, in the table.
    unheard = Q(unpaid_since=None) | Q(disabled_at=None)
    as_read = Q(disabled_because=key.disabled_because)
    changed = change_key(key, unheard & as_read, wanted, act="key.suspend", actor=SYSTEM)
    switched_off = changed and "disabled_at" in wanted
    if switched_off:
        tell_of_key("key.suspended", key, at=at)
    return switched_off


@transaction.atomic
def retire_key(*, project: Project, slot: str, reason: str, at: datetime) -> bool:
    """Revoke the slot's keys for good: what they were made for has ended."""
    keys = _keys_of_slot(project, slot)
    ended = [revoke_key(key=key, actor=SYSTEM, reason=reason, at=at) for key in keys]
    return any(ended)


@transaction.atomic
def set_plan_limit(*, project: Project, slots: Sequence[str], limit_per_minute: int | None) -> int:
    """Give the keys of these slots their plan's new rate limit; own limits still win."""
    keys = ApiKey.objects.filter(project=project, provisioned_for__in=slots, revoked_at=None)
    limit = {"plan_limit_per_minute": limit_per_minute}
    ordered = keys.select_related("consumer", "project").order_by("pk")
    return sum(change_key(key, Q(), limit, act="key.update", actor=SYSTEM) for key in ordered)


def disable_key(*, key: ApiKey, actor: str, reason: str, at: datetime) -> bool:
    """Switch a key off until staff switch it on again; outranks a missing payment."""
    changed = change_key(
        key,
        ~Q(disabled_because=DisabledBecause.STAFF),
        {"disabled_at": at, "disabled_because": DisabledBecause.STAFF},
        act="key.disable",
        actor=actor,
        reason=reason,
    )
    if changed:
        tell_of_key("key.disabled", key, at=at)
    return changed


@transaction.atomic
def enable_key(*, key: ApiKey, actor: str, reason: str, at: datetime) -> bool:
    """Switch on a key that staff switched off. Not paid for, it stays off until it is.

    Raises KeyNotPaidFor when nothing but the missing payment keeps it off, KeyRevoked.
    """
    current = ApiKey.objects.select_for_update(of=("self",), no_key=True).get(pk=key.pk)
    if current.revoked_at is not None:
        raise KeyRevoked(f"{current} is revoked for good: issue a new key instead.")
    if current.disabled_because == DisabledBecause.PAYMENT:
        raise KeyNotPaidFor(
            f"{current} is off because what it belongs to is not paid. It works again by itself "
            "when the payment is made good: see the consumer's subscriptions and payments."
        )
    unpaid = current.unpaid_since
    wanted = {
        "disabled_at": unpaid,
        "disabled_because": DisabledBecause.PAYMENT if unpaid else "",
    }
    mine = Q(disabled_because=DisabledBecause.STAFF)
    changed = change_key(key, mine, wanted, act="key.enable", actor=actor, reason=reason)
    if changed and not unpaid:
        tell_of_key("key.enabled", key, at=at)
    return changed


@transaction.atomic
def revoke_key(*, key: ApiKey, actor: str, reason: str, at: datetime) -> bool:
    """End a key for ever. False, changing nothing, if it was revoked before."""
    changed = change_key(key, Q(), {"revoked_at": at}, act="key.revoke", actor=actor, reason=reason)
    if changed:
        KeyClaim.objects.filter(key=key).update(sealed=b"")
        tell_of_key("key.revoked", key, at=at)
    return changed


def _keys_of_slot(project: Project, slot: str) -> QuerySet[ApiKey]:
    """The slot's keys, oldest first: the last has it, the others were rotated out of it."""
    keys = ApiKey.objects.filter(project=project, provisioned_for=slot)
    return keys.select_related("consumer", "app", "project", "api").order_by("pk")


def _fill_slot(
    consumer: Consumer, slot: str, environment: str, terms: dict[str, Any], at: datetime
) -> ApiKey:
    plaintext = tokens.new_token(environment)
    key = add_key(
        project=consumer.project,
        owner=consumer,
        plaintext=plaintext,
        environment=environment,
        provisioned_for=slot,
        created_at=at,
        **{**terms, "expires_at": not_before(at, terms["expires_at"])},
    )
    offer_key(key=key, plaintext=plaintext, at=at)
    record("key.provision", key, actor=SYSTEM, after={"slot": slot})
    tell_of_key("key.created", key, at=at)
    return key


def _bring_up_to_date(key: ApiKey, terms: dict[str, Any], at: datetime) -> None:
    until = terms["expires_at"]
    if key.replaced_at is not None and key.expires_at is not None:
        until = min(key.expires_at, until or key.expires_at)
    wanted = {**terms, "expires_at": not_before(key.created_at, until), "unpaid_since": None}
    lifted = key.disabled_because == DisabledBecause.PAYMENT
    if lifted:
        wanted |= {"disabled_at": None, "disabled_because": ""}
    if change_key(key, Q(), wanted, act="key.update", actor=SYSTEM) and lifted:
        tell_of_key("key.enabled", key, at=at)


def _owner_ids(owner: App | Consumer) -> tuple[int | None, int | None]:
    return (owner.pk, None) if isinstance(owner, App) else (None, owner.pk)
