"""Stored answers against the grants that they are made of."""

import json
from datetime import datetime

from billing.models import StripeCustomer
from billing.reconciliation.kinds import Difference, DriftKind
from entitlements.staleness import StaleAnswer, answers_after, stale_answers

AT_ONCE = 1_000


def stale_after(
    *, pk: int, at: datetime, project_id: int | None = None, consumer_id: int | None = None
) -> tuple[list[Difference], int | None, int]:
    """A chunk's differences, where the next chunk starts (None: no more), how many it had."""
    answer_ids = answers_after(pk=pk, limit=AT_ONCE, project_id=project_id, consumer_id=consumer_id)
    found = [_difference(each) for each in stale_answers(answer_ids=answer_ids, at=at)]
    last = answer_ids[-1] if len(answer_ids) == AT_ONCE else None
    return found, last, len(answer_ids)


def _difference(stale: StaleAnswer) -> Difference:
    answer, right = stale
    holder = StripeCustomer.objects.filter(consumer=answer.consumer_id).first()
    return Difference(
        kind=DriftKind.ANSWER_STALE,
        object_id=answer.consumer.public_id,
        stripe_customer_id=holder.stripe_customer_id if holder else "",
        project_id=answer.consumer.project_id,
        consumer_id=answer.consumer_id,
        field="answer",
        ours=_in_short(answer.body),
        stripes=_in_short(right),
    )


def _in_short(body: str) -> str:
    """The plans and open features of an answer: its text may be long."""
    said = json.loads(body)
    plans = ", ".join(plan["code"] for plan in said["plans"]) or "no plan"
    features = ", ".join(one["feature_code"] for one in said["entitlements"] if one["active"])
    return f"{plans}: {features or 'nothing'}; changes {said['changes_at'] or 'never'}"
