"""Answers to writes that carried an Idempotency-Key: one execution, the same answer again.

A refusal changed nothing and is not kept: the same key may be sent again with the fault mended.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from keystore.callers import Caller, EndUser
from keystore.errors import OtherRequest, StillRunning
from keystore.models import StoredAnswer
from keystore.seal import seal, unseal

KEPT_FOR = timedelta(days=30)
RUNS_AT_MOST = timedelta(seconds=60)


@dataclass(frozen=True)
class KeptAnswer:
    """What was answered before, to the byte."""

    status: int
    text: str


def begin(
    *, caller: Caller | EndUser, key: str, request_hash: str, at: datetime
) -> KeptAnswer | None:
    """Claim the key for this request (None), or find what the first one was answered.

    Raises OtherRequest when the key belongs to another request, StillRunning while the first one
    has not answered. A request that died frees its key after a minute.
    """
    until = at + RUNS_AT_MOST
    with transaction.atomic():
        stored, is_new = StoredAnswer.objects.get_or_create(
            **_owner(caller),
            key=key,
            defaults={"request_hash": request_hash, "locked_until": until, "created_at": at},
        )
        if is_new:
            return None
        if stored.request_hash != request_hash:
            raise OtherRequest(
                "This Idempotency-Key belongs to another request: use a new key for a new wish."
            )
        if stored.status is not None:
            return KeptAnswer(stored.status, unseal(str(stored.body).encode()))
        abandoned = StoredAnswer.objects.filter(pk=stored.pk, status=None, locked_until__lte=at)
        if not abandoned.update(locked_until=until):
            raise StillRunning("The first request with this Idempotency-Key is still running.")
    return None


def finish(*, caller: Caller | EndUser, key: str, status: int, text: str) -> None:
    """Keep the answer. Sealed, because it may show a new key, which no table may hold."""
    running = StoredAnswer.objects.filter(**_owner(caller), key=key, status=None)
    running.update(status=status, body=seal(text).decode())


def give_up(*, caller: Caller | EndUser, key: str) -> None:
    """Free the key of a request that changed nothing."""
    StoredAnswer.objects.filter(**_owner(caller), key=key, status=None).delete()


def forget_old_answers(*, at: datetime) -> int:
    """Drop answers older than 30 days; how many there were."""
    old = Q(created_at__lte=at - KEPT_FOR, locked_until__lte=at)
    return StoredAnswer.objects.filter(old).delete()[0]


def _owner(caller: Caller | EndUser) -> dict[str, Any]:
    """Whose key it is: one app's or one person's. Two of them may choose the same."""
    if isinstance(caller, Caller):
        return {"app": caller.app, "end_user": ""}
    return {"app": None, "end_user": caller.digest}
