"""What a consumer could use at an instant gone by: today's rows, taken back through the trail.

Every change of a grant has an audit entry with what was before; undone from the newest on, they
give the grants as they were. The contents and ranks of plans are taken back in the same way.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from django.utils.dateparse import parse_datetime

from entitlements.contents import ACT, facts_of_contents
from entitlements.explain import Explanation, explain
from entitlements.facts import Facts, grant_facts, plan_facts
from entitlements.models import Feature, Grant, Plan
from entitlements.resolve import Entitlement, PlanFacts, resolve
from keystore.models import AuditEntry, Consumer

INSTANTS = ("valid_from", "valid_to", "revoked_at")
COLUMNS = (*INSTANTS, "source", "source_ref", "effect", "limit", "config")


@dataclass(frozen=True)
class Past:
    """What was in force. `plans_changed`: plans that the trail shows to have been other ones then;
    the rest are taken to have contained what they contain today.
    """

    facts: Facts
    plans_changed: tuple[str, ...]


def entitlements_at(*, consumer: Consumer, at: datetime) -> list[Entitlement]:
    """What the consumer could use at `at`, by what was on record at that instant."""
    facts = past_of(consumer=consumer, at=at).facts
    return resolve(facts.grants, facts.plans, at)


def explain_past(past: Past, at: datetime) -> list[Explanation]:
    """Why it was so; the changes to come are those that were to come then."""
    return explain(past.facts.grants, past.facts.plans, at)


def past_of(*, consumer: Consumer, at: datetime) -> Past:
    """The grants and plans as they stood at `at`."""
    rows = Grant.objects.filter(consumer=consumer, created_at__lte=at)
    grants = {row.public_id: row for row in rows.select_related("feature", "plan").order_by("pk")}
    later = AuditEntry.objects.filter(
        consumer_id=consumer.public_id, object_kind="grant", created_at__gt=at
    )
    for entry in later.order_by("-pk"):
        _take_back(grants, entry)
    plans, changed = _plans_at({row.plan for row in grants.values() if row.plan}, at)
    return Past(Facts(tuple(grant_facts(row) for row in grants.values()), plans), changed)


def _take_back(grants: dict[str, Grant], entry: AuditEntry) -> None:
    row = grants.get(entry.object_id)
    if row is None:
        return
    if not isinstance(entry.before, dict):
        del grants[entry.object_id]  # this entry is its beginning
        return
    for name in COLUMNS:
        if name in entry.before:
            setattr(row, name, _value(name, entry.before[name]))


def _value(name: str, told: object) -> object:
    return parse_datetime(str(told)) if name in INSTANTS and told is not None else told


def _plans_at(plans: Iterable[Plan], at: datetime) -> tuple[dict[str, PlanFacts], tuple[str, ...]]:
    by_id = {plan.public_id: plan for plan in plans}
    facts = plan_facts({plan.pk for plan in by_id.values()})
    entries = AuditEntry.objects.filter(
        object_kind="plan",
        object_id__in=by_id,
        act__in=(ACT, "plan.change"),
        created_at__gt=at,
    )
    changed = set()
    for entry in entries.order_by("-pk"):
        code = by_id[entry.object_id].code
        facts[code] = _plan_before(facts[code], entry, by_id[entry.object_id])
        changed.add(code)
    return facts, tuple(sorted(changed))


def _plan_before(plan: PlanFacts, entry: AuditEntry, row: Plan) -> PlanFacts:
    before = entry.before if isinstance(entry.before, dict) else {}
    if entry.act != ACT:
        return replace(plan, rank=int(before.get("rank", plan.rank)))
    kinds = Feature.objects.filter(project_id=row.project_id).values_list("code", "kind")
    return replace(plan, features=facts_of_contents(before, dict(kinds)))
