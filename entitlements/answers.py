"""The ready answer: what a consumer may use, as the JSON text that callers receive.

It is written in the transaction of every change and holds until `changes_at`. Whoever writes it
holds the consumer's row, so that of two changes at once the second sees the first.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import orjson
from django.db import connection

from entitlements.facts import Facts, facts_of
from entitlements.models import Answer, Grant
from entitlements.resolve import Entitlement, PlanHeld, next_change, plans_held, resolve
from keystore.models import Consumer
from keystore.outbox import tell

# First half of the advisory lock that keeps a plan's contents still while answers are computed.
PLAN_LOCK = 7_201
CHANGED = "entitlements.changed"
CONTENTS = ["body", "etag", "version", "changes_at", "computed_at"]


def lock_consumer(consumer: Consumer) -> None:
    """Hold the consumer's entitlements until the end of the transaction.

    Not the full row lock: rows that refer to the consumer may be written meanwhile.
    """
    locked = Consumer.objects.select_for_update(of=("self",), no_key=True)
    locked.only("pk").get(pk=consumer.pk)


def lock_plan_for_reading(plan_ids: Collection[int]) -> None:
    """Wait for a running edit of these plans, and let the next one wait for us."""
    if plan_ids:
        _advisory_lock("pg_advisory_xact_lock_shared", sorted(plan_ids))


def lock_plan_for_change(plan_id: int) -> None:
    _advisory_lock("pg_advisory_xact_lock", [plan_id])


def store_answer(consumer: Consumer, at: datetime) -> Answer:
    """Compute and keep the answer; the consumer is locked. If it changed the version grows, and
    the project's hook endpoints are told.
    """
    plan_ids = Grant.objects.filter(consumer=consumer, revoked_at=None, plan__isnull=False)
    lock_plan_for_reading(set(plan_ids.values_list("plan_id", flat=True)))
    facts = facts_of(consumer=consumer)
    stored = Answer.objects.filter(consumer=consumer).first()
    answer = stored or Answer(consumer=consumer, version=0)
    old_version = answer.version
    if answer.body != answer_body(consumer, facts, at, answer.version):
        answer.version += 1
        answer.body = answer_body(consumer, facts, at, answer.version)
        answer.etag = etag_of(answer.body)
    answer.changes_at = next_change(facts.grants, at)
    answer.computed_at = at
    answer.save(force_insert=True) if stored is None else answer.save(update_fields=CONTENTS)
    # The first answer about somebody who never had anything is no news.
    if answer.version > old_version and (stored is not None or facts.grants):
        data = orjson.loads(answer.body)
        tell(project=consumer.project, kind=CHANGED, data=data, consumer=consumer, at=at)
    return answer


@dataclass(frozen=True, slots=True)
class Holder:
    """Of a consumer what its answer says: enough when thousands of answers are made anew."""

    external_id: str
    public_id: str
    project_id: int


def answer_body(consumer: Consumer | Holder, facts: Facts, at: datetime, version: int) -> str:
    """The answer as text: the same facts give the same bytes."""
    plans = plans_held(facts.grants, facts.plans, at)
    return _text(
        {
            "user_id": consumer.external_id,
            "consumer_id": consumer.public_id,
            "project_id": consumer.project_id,
            "version": version,
            "plan": plans[0].code if plans else None,
            "plans": [_shown(plan) for plan in plans],
            "entitlements": [_shown(one) for one in resolve(facts.grants, facts.plans, at)],
            "changes_at": next_change(facts.grants, at),
        }
    )


def empty_body(*, user_id: str, project_id: int) -> str:
    """The answer about a user whom the project never told us of."""
    return _text(
        {
            "user_id": user_id,
            "consumer_id": None,
            "project_id": project_id,
            "version": 0,
            "plan": None,
            "plans": [],
            "entitlements": [],
            "changes_at": None,
        }
    )


def etag_of(body: str) -> str:
    return sha256(body.encode()).hexdigest()


def _advisory_lock(function: str, plan_ids: list[int]) -> None:
    query = f"SELECT {function}(%s, plan_id) FROM unnest(%s::int[]) AS plan_id"
    with connection.cursor() as cursor:
        cursor.execute(query, [PLAN_LOCK, plan_ids])


def _shown(value: Entitlement | PlanHeld) -> dict[str, object]:
    # Not `asdict`: it copies every value deeply, and thousands of answers are checked at once.
    shown = {name: getattr(value, name) for name in value.__dataclass_fields__}
    # Whatever offset the database driver used, callers see UTC.
    shown["valid_from"] = value.valid_from.astimezone(UTC)
    shown["valid_to"] = value.valid_to.astimezone(UTC) if value.valid_to else None
    return shown


def _text(answer: dict[str, object]) -> str:
    return orjson.dumps(answer, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z).decode()
