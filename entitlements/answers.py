"""The ready answer: what a consumer may use, as the JSON text that callers receive.

It is written in the transaction of every change and holds until `changes_at`. Whoever writes it
holds the consumer's row, so that of two changes at once the second sees the first.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import orjson
from django.db import connection

from entitlements.facts import Facts
from entitlements.models import Answer
from entitlements.resolve import Entitlement, PlanHeld, next_change, plans_held, resolve
from entitlements.standing import PLAN_LOCK, Stored, read_standing
from keystore.models import Consumer
from keystore.outbox import tell

CHANGED = "entitlements.changed"
LOCK = "SELECT 1 FROM keystore_consumer WHERE id = %s FOR NO KEY UPDATE"
CONTENTS = ["body", "etag", "version", "changes_at", "computed_at"]


def lock_consumer(consumer: Consumer) -> None:
    """Hold the consumer's entitlements until the end of the transaction.

    Not the full row lock: rows that refer to the consumer may be written meanwhile.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [consumer.pk])
        if cursor.fetchone() is None:
            raise Consumer.DoesNotExist


def lock_plan_for_change(plan_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s::int)", [PLAN_LOCK, plan_id])


def store_answer(consumer: Consumer, at: datetime) -> Answer:
    """Compute and keep the answer; the consumer is locked. If it changed the version grows, and
    the project's hook endpoints are told.
    """
    standing = read_standing(consumer_id=consumer.pk)
    facts, stored = standing.facts, standing.stored or Stored(0, "", "", 0)
    answer = Answer(pk=stored.pk or None, consumer=consumer, version=stored.version)
    answer.body, answer.etag = stored.body, stored.etag
    if answer.body != answer_body(consumer, facts, at, answer.version):
        answer.version += 1
        answer.body = answer_body(consumer, facts, at, answer.version)
        answer.etag = etag_of(answer.body)
    answer.changes_at = next_change(facts.grants, at)
    answer.computed_at = at
    _keep(answer)
    # The first answer about somebody who never had anything is no news.
    if answer.version > stored.version and (stored.pk or facts.grants):
        data = orjson.loads(answer.body)
        tell(project=consumer.project, kind=CHANGED, data=data, consumer=consumer, at=at)
    return answer


REPLACE = """
UPDATE entitlements_answer
SET (body, etag, version, changes_at, computed_at) = (%s, %s, %s, %s, %s) WHERE id = %s
"""


def _keep(answer: Answer) -> None:
    if answer.pk is None:
        answer.save(force_insert=True)
        return
    with connection.cursor() as cursor:
        cursor.execute(REPLACE, [getattr(answer, name) for name in (*CONTENTS, "pk")])
    answer._state.adding, answer._state.db = False, connection.alias


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


def _shown(value: Entitlement | PlanHeld) -> dict[str, object]:
    # Not `asdict`: it copies every value deeply, and thousands of answers are checked at once.
    shown = {name: getattr(value, name) for name in value.__dataclass_fields__}
    # Whatever offset the database driver used, callers see UTC.
    shown["valid_from"] = value.valid_from.astimezone(UTC)
    shown["valid_to"] = value.valid_to.astimezone(UTC) if value.valid_to else None
    return shown


def _text(answer: dict[str, object]) -> str:
    return orjson.dumps(answer, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z).decode()
