"""Two consumers turn out to be one person: who answers from then on, and with which keys.

The layers above hand over what they keep of the duplicate in the same transaction; whoever
orchestrates them holds both rows by `lock_pair` before anything is moved.
"""

from datetime import datetime

from django.db import transaction

from config.errors import Conflict, NotFound
from keystore.models import ApiKey, Consumer, ConsumerNote, OutboxMessage
from keystore.notes import MOST_TAGS

Moved = dict[str, int]  # what was moved, as people call it, and how much of it


class NotMergeable(Conflict):
    """The two cannot become one; the message says what to do first."""

    code = "consumers_not_mergeable"


def lock_pair(duplicate: Consumer, survivor: Consumer) -> tuple[Consumer, Consumer]:
    """Hold both until the end of the transaction, in one order whatever their roles, and read
    them anew. Whoever merges them the other way round waits, and then sees what became of them.
    """
    rows = Consumer.objects.select_for_update(of=("self",), no_key=True).order_by("pk")
    held = rows.select_related("project").filter(pk__in=(duplicate.pk, survivor.pk))
    found = {row.pk: row for row in held}
    return found[duplicate.pk], found[survivor.pk]


def check_pair(duplicate: Consumer, survivor: Consumer) -> None:
    """Refuse what can never be merged. Raises NotMergeable, NotFound."""
    if duplicate.project_id != survivor.project_id:
        raise NotFound("There is no such consumer in this project.")
    if duplicate.pk == survivor.pk:
        raise NotMergeable("This is the same consumer: name another one.")
    for one in (duplicate, survivor):
        if one.merged_into_id is not None:
            raise NotMergeable(
                f"{one.public_id} was merged into another consumer: merge that one instead."
            )
        if one.erased_at is not None:
            raise NotMergeable(f"{one.public_id} was erased: it stands for nobody any more.")


@transaction.atomic
def hand_over_identity(*, duplicate: Consumer, survivor: Consumer, at: datetime) -> Moved:
    """Keys, notes and names of the duplicate become the survivor's. Safe to repeat.

    Whoever was merged into the duplicate is merged into the survivor, so that one step always
    leads to whoever answers.
    """
    Consumer.objects.filter(merged_into=duplicate).update(merged_into=survivor)
    moved = {
        "keys": ApiKey.objects.filter(consumer=duplicate).update(consumer=survivor),
        "notes": ConsumerNote.objects.filter(consumer=duplicate).update(consumer=survivor),
        "hook messages": OutboxMessage.objects.filter(consumer=duplicate).update(consumer=survivor),
    }
    if duplicate.merged_into_id is None:
        _fill_in(duplicate, survivor)
        Consumer.objects.filter(pk=duplicate.pk).update(merged_into=survivor)
        duplicate.merged_into = survivor
    return moved


def _fill_in(duplicate: Consumer, survivor: Consumer) -> None:
    """What the survivor lacks it takes from the duplicate; what it has stays."""
    survivor.email = survivor.email or duplicate.email
    survivor.name = survivor.name or duplicate.name
    survivor.tags = sorted({*survivor.tags, *duplicate.tags})[:MOST_TAGS]
    survivor.save(update_fields=["email", "name", "tags"])
