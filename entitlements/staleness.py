"""Stored answers that do not say what the grants say: many consumers at once."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from entitlements.answers import answer_body
from entitlements.facts import facts_by_consumer
from entitlements.models import Answer
from entitlements.resolve import next_change

StaleAnswer = tuple[Answer, str]  # and the text that it should be


def answers_after(
    *, pk: int, limit: int, project_id: int | None = None, consumer_id: int | None = None
) -> Sequence[int]:
    """The next answers by their rows' numbers: a chunk to be checked together."""
    rows = Answer.objects.filter(pk__gt=pk)
    if project_id is not None:
        rows = rows.filter(consumer__project_id=project_id)
    if consumer_id is not None:
        rows = rows.filter(consumer_id=consumer_id)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:limit])


def stale_answers(*, answer_ids: Collection[int], at: datetime) -> list[StaleAnswer]:
    """Those of the answers that hold at `at` and are not what the grants give.

    Read in one snapshot, so that a change beside it is seen whole or not at all.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        answers = list(_in_force(at).filter(pk__in=answer_ids).select_related("consumer"))
        facts = facts_by_consumer(consumer_ids=[answer.consumer_id for answer in answers])
    stale = []
    for answer in answers:
        known = facts[answer.consumer_id]
        right = answer_body(answer.consumer, known, at, answer.version)
        if right != answer.body or answer.changes_at != next_change(known.grants, at):
            stale.append((answer, right))
    return stale


def _in_force(at: datetime) -> QuerySet[Answer]:
    """One that has run out is made anew by whoever asks, so it cannot be wrong."""
    return Answer.objects.filter(Q(changes_at=None) | Q(changes_at__gt=at))
