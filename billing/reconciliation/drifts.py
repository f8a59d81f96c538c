"""The rows of the drift inbox: found, found again, gone, ignored."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from billing.models import Drift, DriftState, ListedObject, ReconciliationRun
from billing.reconciliation.kinds import LISTED_ONLY, Difference
from config.errors import InvalidInput
from keystore import audit
from keystore.ids import new_id

SYSTEM = "system"

UPSERT = """
INSERT INTO billing_drift (public_id, run_id, project_id, consumer_id, kind, object_id,
    stripe_customer_id, field, ours, stripes, cause, state, note, settled_by,
    repair_wanted_by, repair_reason, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open', '', '', '', '', %s)
ON CONFLICT (kind, object_id, field) WHERE state = 'open' DO UPDATE
SET run_id = excluded.run_id, ours = excluded.ours, stripes = excluded.stripes,
    cause = excluded.cause, stripe_customer_id = excluded.stripe_customer_id
"""


def keep_found(
    *,
    run: ReconciliationRun,
    found: Sequence[Difference],
    causes: dict[tuple[str, str, str], str],
    at: datetime,
) -> int:
    """Write what was found, inside the transaction that moves the run on; how many rows.

    One that is open already is the same row, now of this run. One that staff ignored stays
    ignored for as long as both sides say the same.
    """
    ignored = _ignored(found)
    rows = [
        (new_id("drift"), run.pk, each.project_id, each.consumer_id, each.kind, each.object_id,
         each.stripe_customer_id, each.field, each.ours, each.stripes, causes[each.key], at)
        for each in found
        if (*each.key, each.ours, each.stripes) not in ignored
    ]  # fmt: skip
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(UPSERT, rows)
    return len(rows)


def _ignored(found: Iterable[Difference]) -> set[tuple[str, ...]]:
    objects = {each.object_id for each in found}
    rows = Drift.objects.filter(state=DriftState.IGNORED, object_id__in=objects)
    return set(rows.values_list("kind", "object_id", "field", "ours", "stripes"))


def keep_open(*, run: ReconciliationRun, unsettled: Iterable[Difference]) -> None:
    """What may be on its way is not reported, and if it was reported before it is not gone."""
    for each in unsettled:
        Drift.objects.filter(
            state=DriftState.OPEN, kind=each.kind, object_id=each.object_id, field=each.field
        ).update(run=run)


def mark_gone(*, run: ReconciliationRun, at: datetime) -> int:
    """Settle what earlier runs found and this one, which looked there too, did not."""
    rows = Drift.objects.filter(state=DriftState.OPEN, run__lt=run.pk)
    if run.project_id is not None:
        rows = rows.filter(project_id=run.project_id)
    listed = ListedObject.objects.filter(batch=run.public_id, stripe_id=OuterRef("object_id"))
    above = Drift.objects.filter(run=run, state=DriftState.OPEN, object_id=OuterRef("object_id"))
    rows = rows.filter(~Q(kind__in=LISTED_ONLY) | Exists(listed)).filter(~Exists(above))
    return rows.update(
        state=DriftState.GONE,
        note=f"{run.public_id} looked again and found no difference.",
        settled_by=SYSTEM,
        settled_at=at,
    )


@transaction.atomic
def ignore_drift(*, drift: Drift, actor: str, reason: str, at: datetime) -> bool:
    """Let a difference be. False, changing nothing, if it is settled; a repair that failed is not:
    ignoring it keeps later runs from reporting it again.
    """
    if not reason.strip():
        raise InvalidInput("Say why this difference may stay: the audit trail keeps it.")
    before = drift.state
    if before not in (DriftState.OPEN, DriftState.FAILED):
        return False
    done = Drift.objects.filter(pk=drift.pk, state=before).update(
        state=DriftState.IGNORED,
        note=reason,
        settled_by=actor,
        settled_at=at,
        repair_wanted_at=None,
    )
    if done:
        audit.record(
            actor=actor,
            act="drift.ignore",
            target=drift,
            consumer=drift.consumer,
            before={"state": before},
            after={"state": DriftState.IGNORED},
            reason=reason,
        )
    return bool(done)
