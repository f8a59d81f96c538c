"""What two consumers may use becomes what one may use."""

from datetime import datetime

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from entitlements.answers import store_answer
from entitlements.models import Answer, Grant, GrantBatchLine
from keystore.merging import Moved
from keystore.models import Consumer


@transaction.atomic
def hand_over_grants(*, duplicate: Consumer, survivor: Consumer, at: datetime) -> Moved:
    """Every grant and denial of the duplicate becomes the survivor's, whose answer is made anew.

    Both consumers are held by the caller. Safe to repeat.
    """
    own = Grant.objects.filter(consumer=survivor).values("idempotency_key")
    # Each key was one wish of one consumer; the survivor may have used the same word for another.
    Grant.objects.filter(consumer=duplicate, idempotency_key__in=own).update(
        idempotency_key=Concat(Value(f"{duplicate.public_id}:"), F("public_id"))
    )
    moved = Grant.objects.filter(consumer=duplicate).update(consumer=survivor)
    GrantBatchLine.objects.filter(consumer=duplicate).update(consumer=survivor)
    gone, _ = Answer.objects.filter(consumer=duplicate).delete()
    if moved or gone:
        store_answer(survivor, at)
    return {"grants": moved}
