"""What is known of the meters and users that events name, in one query each.

What a user's entitlements say of limits is kept in the process by the answer's ETag: the query
brings the ETag, so what is kept is never older than the question.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db import connection
from django.db.models import Q

from entitlements.models import Answer
from entitlements.selectors import answer_of
from keystore.models import Api, ApiKey, Consumer, Project
from metering.limits import Terms, terms_of
from metering.models import Aggregation, Cycle, Meter

MOST_KEPT = 20_000
METERS = """
SELECT m.code, m.id, m.aggregation, m.value_property, f.code, m.stripe_event_name <> '',
       m.thresholds
FROM metering_meter AS m LEFT JOIN entitlements_feature AS f ON f.id = m.feature_id
WHERE m.project_id = %s AND m.archived_at IS NULL
"""
CONSUMERS = """
SELECT named.external_id, named.public_id, c.id, a.etag, a.changes_at, y.anchor, y.interval,
       y.interval_count
FROM keystore_consumer AS named
JOIN keystore_consumer AS c ON c.id = coalesce(named.merged_into_id, named.id)
LEFT JOIN entitlements_answer AS a ON a.consumer_id = c.id
LEFT JOIN metering_cycle AS y ON y.consumer_id = c.id
WHERE named.project_id = %s AND named.erased_at IS NULL AND named.{name} = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class KnownMeter:
    """A meter that takes events. `feature` None: its usage is counted and never refused."""

    pk: int
    aggregation: str
    value_property: str
    feature: str | None
    is_reported: bool
    warn_percent: int | None  # the lowest of its thresholds

    @property
    def is_unique(self) -> bool:
        return self.aggregation == Aggregation.UNIQUE


@dataclass(slots=True)
class KnownConsumer:
    """A user as far as usage is concerned; `limits` by the code of the feature."""

    pk: int
    cycle: Cycle | None
    limits: "Limits"


@dataclass(slots=True)
class Limits:
    entitlements: list[Mapping[str, Any]]
    terms: dict[str, Terms] = field(default_factory=dict)

    def of(self, feature: str) -> Terms:
        found = self.terms.get(feature)
        if found is None:
            found = self.terms[feature] = terms_of(self.entitlements, feature)
        return found


class KeptLimits:
    """Limits by the ETag of the answer that they were read from: equal tags, equal limits."""

    def __init__(self) -> None:
        self._kept: dict[str, Limits] = {}

    def get(self, etag: str) -> Limits | None:
        return self._kept.get(etag)

    def put(self, etag: str, limits: Limits) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[etag] = limits


KEPT = KeptLimits()


def meters_of(project: Project) -> dict[str, KnownMeter]:
    """The project's meters that take events, by code."""
    with connection.cursor() as cursor:
        cursor.execute(METERS, [project.pk])
        return {
            code: KnownMeter(pk, kind, value, feature, reported, lowest(thresholds))
            for code, pk, kind, value, feature, reported, thresholds in cursor.fetchall()
        }


def consumers_of(
    project: Project, user_ids: Collection[str], *, at: datetime
) -> dict[str, KnownConsumer]:
    """Those that exist, by the name that was asked for: the app's own id, else ours."""
    rows = _rows(project, "external_id", list(user_ids))
    ours = [name for name in user_ids if name.startswith("con_")]
    if ours:
        rows = {**{row[1]: row for row in _rows(project, "public_id", ours).values()}, **rows}
    limits = _limits_of([*rows.values()], at)
    return {
        name: KnownConsumer(row[2], _cycle_of(row), limits[row[2]]) for name, row in rows.items()
    }


def _rows(project: Project, name: str, values: list[str]) -> dict[str, tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(CONSUMERS.format(name=name), [project.pk, values])
        return {row[0]: row for row in cursor.fetchall()}


def _limits_of(rows: list[tuple[Any, ...]], at: datetime) -> dict[int, Limits]:
    """By consumer. What is not kept is read; what has run out is made anew."""
    found: dict[int, Limits] = {}
    unread: list[int] = []
    for _, _, pk, etag, changes_at, *_ in rows:
        if etag is None or (changes_at is not None and changes_at <= at):
            consumer = Consumer.objects.select_related("project").get(pk=pk)
            found[pk] = _kept(answer_of(consumer=consumer, at=at))
        elif (kept := KEPT.get(etag)) is not None:
            found[pk] = kept
        else:
            unread.append(pk)
    if unread:
        for answer in Answer.objects.filter(consumer__in=unread):
            found[answer.consumer_id] = _kept(answer)
    return found


def _kept(answer: Answer) -> Limits:
    limits = KEPT.get(answer.etag)
    if limits is None:
        limits = Limits(orjson.loads(answer.body)["entitlements"])
        KEPT.put(answer.etag, limits)
    return limits


def _cycle_of(row: tuple[Any, ...]) -> Cycle | None:
    anchor, interval, count = row[5:]
    return anchor and Cycle(anchor=anchor, interval=interval, interval_count=count)


def lowest(thresholds: str | list[int]) -> int | None:
    """The first threshold of which somebody is warned; None: of none."""
    read = orjson.loads(thresholds) if isinstance(thresholds, str) else thresholds
    return min(read, default=None)


def apis_of(project: Project, names: Collection[str]) -> dict[str, int]:
    """The project's APIs of these codes or public ids."""
    found: dict[str, int] = {}
    if names:
        asked = Api.objects.filter(Q(code__in=names) | Q(public_id__in=names), project=project)
        for pk, code, public_id in asked.values_list("pk", "code", "public_id"):
            found[code] = found[public_id] = pk
    return found


def keys_of(project: Project, names: Collection[str]) -> dict[str, int]:
    """The project's keys of these public ids."""
    if not names:
        return {}
    asked = ApiKey.objects.filter(project=project, public_id__in=names)
    return dict(asked.values_list("public_id", "pk"))


def known_meter(meter: Meter) -> KnownMeter:
    """What events need to know of one meter."""
    return KnownMeter(
        pk=meter.pk,
        aggregation=meter.aggregation,
        value_property=meter.value_property,
        feature=meter.feature.code if meter.feature else None,
        is_reported=bool(meter.stripe_event_name),
        warn_percent=min(meter.thresholds, default=None),
    )
