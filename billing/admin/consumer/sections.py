"""The sections of the consumer page in their order, and who may see which.

What another part of the product has to show of a consumer is added with `add_section` when its app
is ready; the page is as if it did not exist until then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.admin.consumer import cards, held, paid, reminded, usage, usage_told
from billing.admin.consumer.tables import Section
from keystore.models import Consumer

Make = Callable[[Consumer, Any, datetime], Section | None]


@dataclass(frozen=True)
class Place:
    """Sections come by `order`. `make` may return None: there is nothing to say."""

    order: int
    permission: str
    make: Make


_places = [
    Place(20, "billing.view_subscription", paid.subscriptions),
    Place(30, "billing.view_payment", paid.payments),
    Place(31, "billing.view_invoice", paid.invoices),
    Place(32, "billing.view_purchase", paid.purchases),
    Place(33, "billing.view_dunningcourse", reminded.reminders),
    Place(40, "billing.view_stripecustomer", cards.cards),
    Place(50, "keystore.view_apikey", held.keys),
    Place(62, "billing.view_usagereport", usage_told.reports),
    Place(60, "metering.view_quotabalance", usage.quotas),
    Place(70, "entitlements.view_grant", held.grants),
    Place(75, "billing.view_checkout", paid.checkouts),
]


def add_section(*, order: int, permission: str, make: Make) -> None:
    """Show what `make(consumer, user, at)` returns to those who hold the permission."""
    _places.append(Place(order, permission, make))


def sections_of(*, consumer: Consumer, user: Any, at: datetime) -> list[Section]:
    made = (
        place.make(consumer, user, at)
        for place in sorted(_places, key=lambda place: place.order)
        if user.has_perm(place.permission)
    )
    return [section for section in made if section is not None]
