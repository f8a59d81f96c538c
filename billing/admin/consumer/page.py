"""The consumer page: who they are, then everything about them that the user may see."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.admin.consumer import access, told
from billing.admin.consumer.asked import Asked
from billing.admin.consumer.header import Header, header_of
from billing.admin.consumer.sections import sections_of
from billing.admin.consumer.tables import Section, text_of
from entitlements.history import explain_past, past_of
from entitlements.selectors import FeatureExplained, explain_all
from keystore.models import Consumer

MINUTES = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True)
class Page:
    """`then` is the instant gone by that was asked for, as a date field shows it."""

    header: Header
    sections: list[Section]
    then: str
    problem: str


def page_of(*, consumer: Consumer, user: Any, at: datetime, asked: Asked) -> Page:
    """Everything about one consumer that the user may see, newest first."""
    money = access.money_of(consumer)
    explained = explain_all(consumer=consumer, at=at)
    sections = [
        _access(consumer, explained, money, user, at, asked),
        *sections_of(consumer=consumer, user=user, at=at),
    ]
    if user.has_perm("keystore.view_consumernote"):
        sections.append(told.notes(consumer, user, at))
    sections.append(told.timeline(consumer, user, at, asked))
    return Page(
        header=header_of(consumer=consumer, explained=explained, money=money, user=user, at=at),
        sections=sections,
        then=asked.then.strftime(MINUTES) if asked.then else "",
        problem=asked.problem,
    )


def _access(
    consumer: Consumer,
    explained: list[FeatureExplained],
    money: access.Money,
    user: Any,
    at: datetime,
    asked: Asked,
) -> Section:
    if asked.then is None:
        return access.section(
            consumer=consumer,
            explained=[one.explanation for one in explained],
            money=money,
            user=user,
            at=at,
        )
    past = past_of(consumer=consumer, at=asked.then)
    changed = ", ".join(past.plans_changed)
    plans = (
        f"{changed} shown with what the plan contained then, by the audit trail."
        if changed
        else "Plans are shown with what they contain now: no change is on record since."
    )
    return access.past_section(
        explained=explain_past(past, asked.then), then=text_of(asked.then), plans=plans
    )
