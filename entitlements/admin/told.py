"""Entitlements and what would change them, in words for staff."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from entitlements.models import Grant
from entitlements.outlook import Outlook
from entitlements.resolve import Entitlement

MOMENT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a preview."""

    feature: str
    without: str
    with_it: str
    follows: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a deed would change; `nothing_new`: no feature opens, closes or grows."""

    rows: tuple[Row, ...]
    nothing_new: bool


def preview_of(outlooks: Iterable[Outlook], at: datetime) -> Preview:
    found = list(outlooks)
    rows = tuple(_row(one, at) for one in found)
    return Preview(rows, nothing_new=not any(one.opens for one in found))


def amount(entitlement: Entitlement | None) -> str:
    """What is open, in a word."""
    if entitlement is None or not entitlement.active:
        return "no"
    if entitlement.kind == "limit":
        return "unlimited" if entitlement.limit is None else f"{entitlement.limit:,}"
    return "yes" if entitlement.value is True else str(entitlement.value)


def giver(entitlement: Entitlement) -> str:
    """Which grant decides."""
    plan = f"plan {entitlement.plan} by " if entitlement.plan else ""
    return f"{plan}{entitlement.source} {entitlement.source_id}"


def instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def until(end: datetime | None) -> str:
    return f"until {instant(end)}" if end else "without end"


def what_of(grant: Grant) -> str:
    """What the grant opens or denies, with its limit."""
    denial = "denial of " if grant.effect == "deny" else ""
    limit = f" ({grant.limit:,})" if grant.limit is not None else ""
    return f"{denial}{grant.plan or grant.feature}{limit}"


def _row(one: Outlook, at: datetime) -> Row:
    return Row(one.feature_code, _side(one.without), _side(one.with_it), _follows(one, at))


def _side(entitlement: Entitlement | None) -> str:
    if entitlement is None:
        return "no"
    by = "denied by" if entitlement.reason == "denied" else "by"
    return f"{amount(entitlement)}, {by} {giver(entitlement)}, {until(entitlement.valid_to)}"


def _follows(one: Outlook, at: datetime) -> str:
    if not one.decides:
        if one.without is None:
            return "Changes nothing."
        if one.without.reason == "denied":
            return f"Opens nothing: {giver(one.without)} denies it."
        return f"Opens nothing new: {giver(one.without)} already gives as much or more."
    when = f" from {instant(one.since)} on" if one.since > at + MOMENT else ""
    if not one.opens:
        return f"As much as without it{when}."
    if one.with_it is None or not one.with_it.active:
        return f"Closes{when}."
    if one.without is None or not one.without.active:
        return f"Opens{when}."
    return f"Changes from {amount(one.without)} to {amount(one.with_it)}{when}."
