"""What a request asks to buy: the price in the buyer's currency, and the code that goes with it."""

import re
from typing import Any

from rest_framework.request import Request

from billing.models import Price, PromotionCode
from billing.on_sale import find_price
from billing.promotions.codes import usable_code
from config.clock import now
from keystore.authentication import asker_of
from keystore.callers import EndUser
from keystore.models import Consumer, Project
from keystore.selectors import consumer_of

# The first language that names a country: de-AT, en;q=0.8 -> AT.
REGION = re.compile(r"\A\s*[a-z]{2,3}(?:-[A-Za-z]{4})?-([A-Za-z]{2})\b")


def price_asked(request: Request, project: Project, asked: dict[str, Any]) -> Price:
    """The price that is meant, for this buyer. Raises what speaks against it, before anybody is
    registered for it.
    """
    return find_price(
        project=project,
        stripe_price_id=asked.get("price_id", ""),
        plan_code=asked.get("plan", ""),
        consumer=known_buyer(request, project, asked.get("user_id", "")),
        currency=asked["currency"].lower(),
        country=country_of(request),
    )


def code_asked(
    project: Project, asked: dict[str, Any], *, consumer: Consumer, price: Price
) -> PromotionCode | None:
    return usable_code(
        project=project,
        text=asked["promotion_code"],
        consumer=consumer,
        price=price,
        quantity=asked.get("quantity") or 1,
        at=now(),
    )


def known_buyer(request: Request, project: Project, user_id: str) -> Consumer | None:
    asker = asker_of(request)
    if isinstance(asker, EndUser):
        return asker.consumer
    return consumer_of(project=project, user_id=user_id) if user_id else None


def country_of(request: Request) -> str:
    """Where a user's own browser says that they live; an app's request says nothing of it."""
    if not isinstance(asker_of(request), EndUser):
        return ""
    found = REGION.match(request.headers.get("Accept-Language", ""))
    return found[1].upper() if found else ""
