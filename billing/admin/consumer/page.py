"""The consumer page: who they are, then everything about them that the user may see."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.admin.consumer import access
from billing.admin.consumer.sections import sections_of
from billing.admin.consumer.tables import Section, url_of
from billing.models import StripeCustomer
from entitlements.selectors import explain_all
from keystore.models import Consumer


@dataclass(frozen=True)
class Page:
    holder: StripeCustomer | None
    holder_url: str
    sections: list[Section]


def page_of(*, consumer: Consumer, user: Any, at: datetime) -> Page:
    """Everything about one consumer that the user may see, newest first."""
    holder = StripeCustomer.objects.filter(consumer=consumer).first()
    explained = explain_all(consumer=consumer, at=at)
    money = access.money_of(consumer)
    may_use = access.section(
        consumer=consumer, explained=explained, money=money, user=user, at=at, past=False
    )
    sections = [may_use, *sections_of(consumer=consumer, user=user, at=at)]
    return Page(holder=holder, holder_url=url_of(holder) if holder else "", sections=sections)
