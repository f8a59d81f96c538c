"""A person asks to be forgotten: what says who they are goes, what was done and paid stays.

The consumer's row stays under its own public id, which stands for nobody any more. The layers
above erase what they keep in the same transaction.
"""

import re
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from config.errors import Conflict
from keystore import audit
from keystore.callers import EndUser
from keystore.masking import ADDRESS, NAMING_FIELDS
from keystore.models import (
    ApiKey,
    AuditEntry,
    Consumer,
    ConsumerNote,
    DeliveryState,
    HookAttempt,
    HookDelivery,
    KeyClaim,
    OutboxMessage,
    StoredAnswer,
)
from keystore.services import revoke_key

ERASED = "[erased]"
ERASED_TOLD = "consumer.erased"  # the kind of the message that tells apps
TELLING_FIELDS = NAMING_FIELDS | {"email"}
SHORTEST = 3  # of a name that is looked for inside other text
AT_ONCE = 500


class NotErasable(Conflict):
    """Something is still going on with this person; the message says what to do first."""

    code = "consumer_not_erasable"


class Forgetter:
    """Takes a person's names out of texts, and any e-mail address with them."""

    def __init__(self, consumers: Iterable[Consumer]) -> None:
        self._names: dict[str, str] = {}
        for one in consumers:
            self._names |= {name.lower(): ERASED for name in (one.email, one.name) if name}
        for one in consumers:
            self._names[one.external_id.lower()] = one.public_id
        inside = [re.escape(name) for name in self._names if len(name) >= SHORTEST]
        inside.sort(key=len, reverse=True)
        self._inside = re.compile(rf"(?<!\w)(?:{'|'.join(inside)})(?!\w)", re.IGNORECASE)
        self._has_inside = bool(inside)

    def text(self, text: str) -> str:
        whole = self._names.get(text.lower())
        if whole is not None:
            return whole
        if self._has_inside:
            text = self._inside.sub(lambda found: self._names[found[0].lower()], text)
        return ADDRESS.sub(ERASED, text)

    def value(self, value: Any) -> Any:
        """The same in JSON, and whatever stands under a field that names somebody."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {self.text(name): self._field(name, one) for name, one in value.items()}
        return value

    def rows(self, rows: Any, *fields: str) -> None:
        """Write the fields of these rows anew where they say who it was."""
        for row in rows.only("pk", *fields).iterator(chunk_size=AT_ONCE):
            said = {name: getattr(row, name) for name in fields}
            left = {name: self.value(value) for name, value in said.items()}
            if left != said:
                type(row)._default_manager.filter(pk=row.pk).update(**left)

    def _field(self, name: str, value: Any) -> Any:
        if name in TELLING_FIELDS and isinstance(value, str) and value:
            return ERASED
        return [] if name == "tags" else self.value(value)


@transaction.atomic
def erase_identity(
    *, consumers: Collection[Consumer], forget: Forgetter, actor: str, at: datetime
) -> int:
    """End every key and take names, notes and what was told of these consumers away; how many
    keys that ended. They are held by the caller, and all stand for one person.
    """
    keys = ApiKey.objects.select_related("project", "consumer", "app")
    ended = sum(
        revoke_key(key=key, actor=actor, reason="the person was erased", at=at)
        for key in keys.filter(consumer__in=consumers).order_by("pk")
    )
    ApiKey.objects.filter(consumer__in=consumers).update(name="", allowed_cidrs=[])
    forget.rows(ApiKey.objects.filter(consumer__in=consumers), "metadata")
    KeyClaim.objects.filter(key__consumer__in=consumers).update(sealed=b"")
    ConsumerNote.objects.filter(consumer__in=consumers, removed_at=None).update(removed_at=at)
    ConsumerNote.objects.filter(consumer__in=consumers).update(text=ERASED)
    _erase_told(consumers, forget)
    for one in consumers:
        whose = EndUser(project=one.project, external_id=one.external_id, consumer=one)
        StoredAnswer.objects.filter(end_user=whose.digest).delete()
        # Its own id stands where the app's was, so that the app may use that for somebody new.
        one.external_id, one.email, one.name, one.tags = one.public_id, "", "", []
        one.erased_at = one.tokens_since = at
        one.save(
            update_fields=["external_id", "email", "name", "tags", "erased_at", "tokens_since"]
        )
    return ended


@transaction.atomic
def erase_trail(*, consumers: Collection[Consumer], forget: Forgetter) -> None:
    """Take the names out of the audit trail; who did what and when stays.

    The trail takes no change but this one: its trigger lets texts be erased in a transaction
    that says so, and nothing else.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('latchkey.erasing', 'on', true)")
        ids = [one.public_id for one in consumers]
        rows = AuditEntry.objects.filter(consumer_id__in=ids)
        forget.rows(rows, "before", "after", "reason")
        cursor.execute("SELECT set_config('latchkey.erasing', 'off', true)")


def record_erasure(
    *, consumer: Consumer, after: dict[str, Any], actor: str, reason: str, at: datetime
) -> None:
    audit.record(
        actor=actor,
        act="consumer.erase",
        target=consumer,
        consumer=consumer,
        after=after,
        reason=reason,
        at=at,
    )


def forget_told_names() -> int:
    """Apps were told under which name they knew an erased user: it is forgotten once they all
    were. How many messages.
    """
    on_its_way = HookDelivery.objects.filter(message=OuterRef("pk"), state=DeliveryState.PENDING)
    erased = Consumer.objects.filter(erased_at__isnull=False)
    rows = OutboxMessage.objects.filter(
        consumer__in=erased, kind=ERASED_TOLD, data__has_key="user_id"
    )
    found = list(rows.exclude(Exists(on_its_way))[:AT_ONCE])
    for message in found:
        left = {name: value for name, value in message.data.items() if name != "user_id"}
        OutboxMessage.objects.filter(pk=message.pk).update(data=left)
    return len(found)


def _erase_told(consumers: Collection[Consumer], forget: Forgetter) -> None:
    messages = OutboxMessage.objects.filter(consumer__in=consumers)
    forget.rows(messages, "data")
    HookAttempt.objects.filter(delivery__message__in=messages).update(answer="", error="")
