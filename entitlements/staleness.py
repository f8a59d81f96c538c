"""Stored answers that do not say what the grants say: many consumers at once."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from entitlements.answers import Holder, answer_body
from entitlements.facts import facts_by_consumer
from entitlements.models import Answer
from entitlements.resolve import next_change

CHECKED = (
    "pk",
    "consumer_id",
    "body",
    "version",
    "changes_at",
    "consumer__external_id",
    "consumer__public_id",
    "consumer__project_id",
)
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
        rows = list(_in_force(at).filter(pk__in=answer_ids).values_list(*CHECKED))
        facts = facts_by_consumer(consumer_ids=[row[1] for row in rows])
    stale = {}
    for pk, consumer_id, body, version, changes_at, *names in rows:
        known = facts[consumer_id]
        right = answer_body(Holder(*names), known, at, version)
        if right != body or changes_at != next_change(known.grants, at):
            stale[pk] = right
    answers = Answer.objects.select_related("consumer").in_bulk(list(stale))
    return [(answers[pk], right) for pk, right in stale.items() if pk in answers]


def _in_force(at: datetime) -> QuerySet[Answer]:
    """One that has run out is made anew by whoever asks, so it cannot be wrong."""
    return Answer.objects.filter(Q(changes_at=None) | Q(changes_at__gt=at))
