"""Defining what is counted. One function is one transaction, and each change is on record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from config.errors import Conflict, InvalidInput
from entitlements.models import Feature
from keystore import audit
from keystore.models import Project
from metering.models import Aggregation, Meter, UsageTotal
from metering.rollup import MARK

MOST_DIMENSIONS = 10
MOST_THRESHOLDS = 10
HIGHEST_THRESHOLD = 1_000
FRESH = """
SELECT EXISTS (SELECT FROM metering_usageevent AS e WHERE e.meter_id = %s AND e.xid >=
    (SELECT w.xid FROM metering_watermark AS w WHERE w.name = %s))
"""


class MeterExists(Conflict):
    """The project has a meter of this code, or the feature has a meter already."""

    code = "meter_exists"


class MeterHasCounted(Conflict):
    """What was counted one way cannot become another: make a new meter."""

    code = "meter_has_counted"


@dataclass(frozen=True, slots=True)
class MeterTerms:
    """All of a meter that may be chosen. `feature` None: it is counted and never refused."""

    name: str = ""
    unit: str = ""
    aggregation: str = Aggregation.SUM
    value_property: str = ""
    feature: Feature | None = None
    dimensions: Sequence[str] = ()
    thresholds: Sequence[int] = (80, 100)
    stripe_event_name: str = ""


@transaction.atomic
def create_meter(
    *, project: Project, code: str, terms: MeterTerms, actor: str, at: datetime
) -> Meter:
    """A new meter. Raises MeterExists, InvalidInput."""
    check_terms(project, terms)
    if project.meters.filter(code=code).exists():
        raise MeterExists(f"The project has a meter {code!r}: choose another code.")
    _require_free(terms.feature, None)
    meter = Meter.objects.create(project=project, code=code, created_at=at, **_columns(terms))
    _record("meter.add", meter, actor, at, before=None)
    return meter


@transaction.atomic
def change_meter(*, meter: Meter, terms: MeterTerms, actor: str, at: datetime) -> Meter:
    """Other terms from now on. Raises MeterHasCounted for another kind of counting."""
    check_terms(meter.project, terms)
    _require_free(terms.feature, meter)
    before = _shown(meter)
    counting = (meter.aggregation, meter.value_property)
    if counting != (terms.aggregation, terms.value_property) and has_counted(meter):
        raise MeterHasCounted(
            f"{meter.code} has counted as {meter.aggregation}: make a new meter to count otherwise."
        )
    for name, value in _columns(terms).items():
        setattr(meter, name, value)
    if _shown(meter) != before:
        meter.save(update_fields=list(_columns(terms)))
        _record("meter.change", meter, actor, at, before=before)
    return meter


@transaction.atomic
def archive_meter(*, meter: Meter, reason: str, actor: str, at: datetime) -> Meter:
    """It takes no more events and frees its feature; its usage stays. Again changes nothing."""
    changed = Meter.objects.filter(pk=meter.pk, archived_at=None).update(
        archived_at=at, feature=None
    )
    if changed:
        before = _shown(meter)
        meter.archived_at, meter.feature = at, None
        _record("meter.archive", meter, actor, at, before=before, reason=reason)
    else:
        meter.refresh_from_db()
    return meter


def has_counted(meter: Meter) -> bool:
    """Whether any event was ever counted by the meter."""
    if UsageTotal.objects.filter(project=meter.project_id, meter=meter).exists():
        return True
    with connection.cursor() as cursor:
        cursor.execute(FRESH, [meter.pk, MARK])
        return bool(cursor.fetchone()[0])


def check_terms(project: Project, terms: MeterTerms) -> None:
    """Raises InvalidInput for terms that make no sense."""
    if terms.feature is not None and terms.feature.project_id != project.pk:
        raise InvalidInput("The feature belongs to another project: choose one of this project.")
    if terms.aggregation == Aggregation.UNIQUE and not terms.value_property:
        raise _wrong("value_property", "A unique meter needs the property whose values it counts.")
    if len(terms.dimensions) > MOST_DIMENSIONS or not all(terms.dimensions):
        raise _wrong("dimensions", f"Name up to {MOST_DIMENSIONS} properties.")
    if any(name in ("user_id", "api", "key") for name in terms.dimensions):
        raise _wrong("dimensions", "user_id, api and key are there already: leave them out.")
    if len(set(terms.dimensions)) < len(terms.dimensions):
        raise _wrong("dimensions", "Name each property once.")
    if len(terms.thresholds) > MOST_THRESHOLDS or not all(
        1 <= one <= HIGHEST_THRESHOLD for one in terms.thresholds
    ):
        raise _wrong("thresholds", f"Give up to {MOST_THRESHOLDS} percentages from 1 on.")


def _require_free(feature: Feature | None, meter: Meter | None) -> None:
    if feature is None:
        return
    other = Meter.objects.filter(feature=feature).first()
    if other is not None and other != meter:
        raise MeterExists(f"The meter {other.code} consumes {feature.code}: archive it first.")


def _columns(terms: MeterTerms) -> dict[str, Any]:
    lists = {"dimensions": list(terms.dimensions), "thresholds": sorted(set(terms.thresholds))}
    names = ("name", "unit", "aggregation", "value_property", "feature", "stripe_event_name")
    return {**{name: getattr(terms, name) for name in names}, **lists}


def _shown(meter: Meter) -> dict[str, Any]:
    names = ("name", "unit", "aggregation", "value_property", "stripe_event_name", "archived_at")
    lists = {"dimensions": meter.dimensions, "thresholds": meter.thresholds}
    feature = meter.feature.code if meter.feature else None
    return {**{name: getattr(meter, name) for name in names}, **lists, "feature": feature}


def _record(
    act: str, meter: Meter, actor: str, at: datetime, *, before: object, reason: str = ""
) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=meter,
        project=meter.project,
        before=before,
        after=_shown(meter),
        reason=reason,
        at=at,
    )


def _wrong(field: str, fix: str) -> InvalidInput:
    error = {"location": f"body.{field}", "message": f"{field} is not usable.", "fix": fix}
    return InvalidInput(f"{field} is not usable: {fix}", errors=[error])
