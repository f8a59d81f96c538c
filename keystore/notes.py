"""What staff write beside a consumer: remarks and tags."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from config.errors import InvalidInput
from keystore import audit
from keystore.models import Consumer, ConsumerNote

LONGEST_NOTE = 4000
LONGEST_TAG = 40
MOST_TAGS = 20


@transaction.atomic
def write_note(*, consumer: Consumer, text: str, actor: str, at: datetime) -> ConsumerNote:
    """Keep a remark. Its text is not in the audit trail, from which nothing can be taken."""
    text = text.strip()
    if not text or len(text) > LONGEST_NOTE:
        raise InvalidInput(f"A note has 1 to {LONGEST_NOTE} characters.")
    note = ConsumerNote.objects.create(
        project_id=consumer.project_id, consumer=consumer, text=text, author=actor, created_at=at
    )
    audit.record(actor=actor, act="note.add", target=note, consumer=consumer, at=at)
    return note


@transaction.atomic
def remove_note(*, note: ConsumerNote, actor: str, reason: str, at: datetime) -> bool:
    """Take a remark down. False, changing nothing, if it was taken down before."""
    if not ConsumerNote.objects.filter(pk=note.pk, removed_at=None).update(removed_at=at):
        return False
    audit.record(
        actor=actor, act="note.remove", target=note, consumer=note.consumer, reason=reason, at=at
    )
    return True


@transaction.atomic
def set_tags(
    *, consumer: Consumer, tags: Iterable[str], actor: str, reason: str, at: datetime
) -> bool:
    """Give the consumer these tags and no others. False, changing nothing, if it has them."""
    wanted = sorted({tag.strip().lower() for tag in tags} - {""})
    if len(wanted) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in wanted):
        raise InvalidInput(f"At most {MOST_TAGS} tags of at most {LONGEST_TAG} characters each.")
    current = Consumer.objects.select_for_update(of=("self",), no_key=True).get(pk=consumer.pk)
    if current.tags == wanted:
        return False
    Consumer.objects.filter(pk=consumer.pk).update(tags=wanted)
    audit.record(
        actor=actor,
        act="consumer.tag",
        target=consumer,
        consumer=consumer,
        before={"tags": current.tags},
        after={"tags": wanted},
        reason=reason,
        at=at,
    )
    consumer.tags = wanted
    return True
