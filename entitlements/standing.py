"""All that decides one consumer's answer, and the answer that stands, in one round trip.

Every change of access makes an answer anew: through the ORM its seven reads were most of the cost.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from entitlements.facts import Facts
from entitlements.resolve import FeatureFacts, GrantFacts, PlanFacts

# First half of the advisory lock that keeps a plan's contents still while answers are computed.
PLAN_LOCK = 7_201
# Statements of one message, each of which sees what was committed before it began: the plans are
# read after a running edit of theirs has ended.
READ = """
SELECT pg_advisory_xact_lock_shared(%(plan_lock)s, plan_id::int) FROM (
    SELECT DISTINCT plan_id FROM entitlements_grant
    WHERE consumer_id = %(consumer)s AND revoked_at IS NULL AND plan_id IS NOT NULL
    ORDER BY plan_id
) AS held;
SELECT feature.code, feature.kind, g."limit", g.config, g.id, g.public_id, g.source, g.source_ref,
    g.valid_from, g.valid_to, g.revoked_at, g.effect, plan.code
FROM entitlements_grant AS g
LEFT JOIN entitlements_feature AS feature ON feature.id = g.feature_id
LEFT JOIN entitlements_plan AS plan ON plan.id = g.plan_id
WHERE g.consumer_id = %(consumer)s AND g.revoked_at IS NULL ORDER BY g.id;
SELECT plan.code, plan.name, plan.rank, feature.code, feature.kind, given."limit", given.config,
    given.reset, given.enforcement
FROM entitlements_plan AS plan
LEFT JOIN entitlements_planfeature AS given ON given.plan_id = plan.id
LEFT JOIN entitlements_feature AS feature ON feature.id = given.feature_id
WHERE plan.id IN (
    SELECT plan_id FROM entitlements_grant
    WHERE consumer_id = %(consumer)s AND revoked_at IS NULL
);
SELECT id, body, etag, version FROM entitlements_answer WHERE consumer_id = %(consumer)s
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer that stands."""

    pk: int
    body: str
    etag: str
    version: int


@dataclass(frozen=True, slots=True)
class Standing:
    facts: Facts
    stored: Stored | None


def read_standing(*, consumer_id: int) -> Standing:
    """This transaction holds the consumer; its plans stay as they are until it ends."""
    with connection.cursor() as cursor:
        cursor.execute(READ, {"consumer": consumer_id, "plan_lock": PLAN_LOCK})
        cursor.nextset()
        grants = tuple(map(_grant, cursor.fetchall()))
        cursor.nextset()
        plans = _plans(cursor.fetchall())
        cursor.nextset()
        stored = cursor.fetchone()
    return Standing(Facts(grants, plans), Stored(*stored) if stored else None)


def _grant(row: tuple[Any, ...]) -> GrantFacts:
    code, kind, limit, config, *columns = row
    given = None if code is None else FeatureFacts(code, kind, limit, _value(config))
    return GrantFacts(*(*columns, given))


def _plans(rows: Iterable[tuple[Any, ...]]) -> dict[str, PlanFacts]:
    given: dict[tuple[str, str, int], list[FeatureFacts]] = {}
    for code, name, rank, feature, kind, limit, config, reset, enforcement in rows:
        features = given.setdefault((code, name, rank), [])
        if feature is not None:
            value = _value(config)
            features.append(FeatureFacts(feature, kind, limit, value, reset, enforcement))
    return {head[0]: PlanFacts(*head, tuple(features)) for head, features in given.items()}


def _value(config: str | None) -> object:
    return None if config is None else json.loads(config)
