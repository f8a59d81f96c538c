"""Writing one row of a key: with its audit entry, and with what the project's hooks are told."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from config.errors import InvalidInput
from keystore import audit, tokens
from keystore.models import Api, ApiKey, App, Consumer, Project
from keystore.outbox import tell

# What a key's successor takes over from it.
INHERITED = (
    "api",
    "environment",
    "name",
    "scopes",
    "plan_limit_per_minute",
    "own_limit_per_minute",
    "own_burst",
    "named_limits",
    "allowed_cidrs",
    "expires_at",
    "disabled_at",
    "disabled_because",
    "unpaid_since",
    "provisioned_for",
    "metadata",
)


@dataclass(frozen=True)
class IssuedKey:
    """A new key and its text, which is shown once and kept nowhere."""

    key: ApiKey
    plaintext: str


def add_key(*, project: Project, owner: App | Consumer, plaintext: str, **fields: Any) -> ApiKey:
    """The row of a new key. Raises InvalidInput when its owner is of another project."""
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


@transaction.atomic
def change_key(
    key: ApiKey, unless_moved: Q, wanted: dict[str, Any], *, act: str, actor: str, reason: str = ""
) -> bool:
    """Set `wanted` on a key that is not revoked and still meets the condition; audit it."""
    fresh = ApiKey.objects.select_for_update(of=("self",), no_key=True).filter(
        unless_moved, revoked_at=None
    )
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
    record(act, key, actor=actor, reason=reason, before=before, after=after)
    return True


def one_at_a_time(consumer: Consumer) -> None:
    """Whatever makes or replaces keys of one consumer waits for each other."""
    Consumer.objects.select_for_update(of=("self",), no_key=True).get(pk=consumer.pk)


def in_future(expires_at: datetime | None, at: datetime) -> datetime | None:
    """`expires_at`, if it is still to come. Raises InvalidInput."""
    if expires_at is not None and expires_at <= at:
        raise InvalidInput("A key must expire in the future: choose a later expires_at.")
    return expires_at


def not_before(start: datetime, end: datetime | None) -> datetime | None:
    """`end`, or the first instant after `start`: a period that is over leaves a key expired."""
    return None if end is None else max(end, start + timedelta(microseconds=1))


def record(act: str, key: ApiKey, *, actor: str, **told: Any) -> None:
    """An audit entry in the history of the key's consumer."""
    audit.record(actor=actor, act=act, target=key, consumer=key.consumer, **told)


def tell_of_key(kind: str, key: ApiKey, *, at: datetime, **more: Any) -> None:
    """Tell the project's hooks what became of a key. Never its text, and no digest."""
    tell(
        project=key.project,
        consumer=key.consumer,
        kind=kind,
        data={
            "key_id": key.public_id,
            "user_id": key.consumer.external_id if key.consumer else None,
            "app_id": key.app.public_id if key.app else None,
            "prefix": key.prefix,
            "last4": key.last4,
            "name": key.name,
            "environment": key.environment,
            "expires_at": key.expires_at,
            **more,
        },
        at=at,
    )


def _told(value: object) -> object:
    return value.code if isinstance(value, Api) else value
