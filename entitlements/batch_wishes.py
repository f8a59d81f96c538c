"""What a line of a batch asks for, and why it cannot be given."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from config.errors import DomainError
from entitlements.batch_file import FORMULA_STARTS, AskedLine
from entitlements.grants import MAX_LIMIT, check_grant
from entitlements.models import Feature, FeatureKind, Grant, GrantSource, Plan
from keystore.models import Consumer, Project
from keystore.selectors import consumers_named, consumers_of

UNLIMITED = "unlimited"


class BadLine(Exception):
    """Why a line cannot be given, for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The columns of a line as values."""

    plan: Plan | None
    feature: Feature | None
    limit: int | None
    config: Any
    valid_to: datetime | None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A project's plans and features by code."""

    plans: Mapping[str, Plan]
    features: Mapping[str, Feature]

    @classmethod
    def of(cls, project: Project) -> "Catalogue":
        return cls(
            {plan.code: plan for plan in Plan.objects.filter(project=project)},
            {feature.code: feature for feature in Feature.objects.filter(project=project)},
        )


@dataclass(frozen=True, slots=True)
class Directory:
    """The consumers that lines name: by own id, by con_ id, and by e-mail if that may be seen."""

    by_id: Mapping[str, Consumer]
    by_email: Mapping[str, list[Consumer]]

    @classmethod
    def of(cls, project: Project, names: Iterable[str], *, with_email: bool) -> "Directory":
        wanted = set(names)
        by_id = consumers_named(project=project, user_ids=wanted)
        by_email: dict[str, list[Consumer]] = {}
        addresses = [name for name in wanted if "@" in name] if with_email else []
        for one in consumers_of(project=project).filter(email__in=addresses):
            by_email.setdefault(one.email, []).append(one)
        return cls(by_id, by_email)

    def find(self, name: str) -> Consumer:
        if name in self.by_id:
            return self.by_id[name]
        found = self.by_email.get(name, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise BadLine(f"{len(found)} consumers have this e-mail: name one by its id.")
        if not name:
            raise BadLine("It names no consumer.")
        refuse_formula("consumer", name)
        raise BadLine("There is no such consumer in this project.")


def wish_of(cells: Mapping[str, str], catalogue: Catalogue) -> Wish:
    """The line's values. Raises BadLine."""
    plan_code, feature_code = cells.get("plan", ""), cells.get("feature", "")
    if bool(plan_code) == bool(feature_code):
        raise BadLine("Name either a plan or a feature.")
    plan = _known("plan", plan_code, catalogue.plans)
    feature = _known("feature", feature_code, catalogue.features)
    limit = _limit(cells.get("limit", ""), feature)
    return Wish(plan, feature, limit, _config(cells.get("config", "")), _end(cells.get("ends", "")))


def check_wish(
    asked: AskedLine, consumer: Consumer, wish: Wish, *, may_be_endless: bool, at: datetime
) -> None:
    """Refuse what giving would refuse. Raises BadLine."""
    refuse_formula("reason", asked.cells.get("reason", ""))
    if wish.valid_to is None and not may_be_endless:
        raise BadLine("It has no end, and you may not give grants without one.")
    if wish.valid_to is not None and wish.valid_to <= at:
        raise BadLine(f"Its end, {wish.valid_to:%Y-%m-%d %H:%M} UTC, has passed.")
    grant = Grant(
        consumer=consumer,
        plan=wish.plan,
        feature=wish.feature,
        limit=wish.limit,
        config=wish.config,
        source=GrantSource.STAFF,
        valid_from=at,
        valid_to=wish.valid_to,
    )
    try:
        check_grant(grant)
    except DomainError as refusal:
        raise BadLine(refusal.message) from refusal


def refuse_formula(column: str, text: str) -> None:
    if text.startswith(FORMULA_STARTS):
        raise BadLine(f"The {column} begins with {text[0]!r}, as a formula of a spreadsheet does.")


def _known(column: str, code: str, rows: Mapping[str, Any]) -> Any:
    if not code:
        return None
    if code not in rows:
        refuse_formula(column, code)
        raise BadLine(f"There is no {column} {code!r}: there are {', '.join(sorted(rows)[:20])}.")
    return rows[code]


def _limit(text: str, feature: Feature | None) -> int | None:
    if feature is not None and feature.kind == FeatureKind.LIMIT and not text:
        raise BadLine(f"{feature.code} needs a limit: a number, or {UNLIMITED}.")
    if not text or (text == UNLIMITED and feature and feature.kind == FeatureKind.LIMIT):
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > MAX_LIMIT:
        raise BadLine(f"The limit {text!r} is not a number of 0 or more, nor {UNLIMITED}.")
    return int(text)


def _config(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number) if text else None
    except (ValueError, RecursionError) as problem:
        raise BadLine(f"The config is no JSON: {problem}.") from problem


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _end(text: str) -> datetime | None:
    """An instant, in UTC if it does not say; a day is included."""
    if not text:
        return None
    refuse_formula("end", text)
    try:
        if len(text) <= len("2026-12-31"):
            after = date.fromisoformat(text) + timedelta(days=1)
            return datetime.combine(after, time(), UTC)
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError) as problem:
        example = "2026-12-31 or 2026-12-31T18:00"
        raise BadLine(f"The end {text!r} is no day: write {example}.") from problem
