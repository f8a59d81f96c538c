"""What a customer may buy or change to, and the pages that say what it costs."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from django.db.models import QuerySet

from billing import access, currencies
from billing.models import Price, PriceKind, Subscription
from billing.ownpages.wording import price as price_text
from config.errors import NotFound
from keystore.models import Consumer, Project


@dataclass(frozen=True)
class Offer:
    """`changes`: the subscription that would change to it; "" when it is bought anew."""

    price_id: str
    name: str
    price: str
    is_current: bool
    changes: str
    can_buy: bool


def offers_for(*, consumer: Consumer) -> list[Offer]:
    """Every price on sale in the customer's currency, the cheapest plan first."""
    live = list(_live(consumer).select_related("plan"))
    on_sale = Price.objects.filter(project=consumer.project, active=True, plan__public=True)
    rows = on_sale.exclude(kind=PriceKind.METERED).select_related("plan")
    shown = in_currency(rows.order_by("plan__rank", "amount_minor", "pk"), consumer)
    return [_offer(price, live) for price in shown]


def in_currency(rows: Iterable[Price], consumer: Consumer) -> list[Price]:
    """Of each plan the prices in the currency that counts for the customer. A plan that is not
    sold in it is shown in its own, unless no other one can be taken.
    """
    wanted = currencies.currency_of(project=consumer.project, consumer=consumer)
    plans: dict[int, list[Price]] = {}
    for row in rows:
        plans.setdefault(row.plan_id, []).append(row)
    shown = []
    for of_plan in plans.values():
        with suppress(currencies.NoPriceInCurrency):
            chosen = currencies.pick(of_plan, wanted).currency
            shown += [row for row in of_plan if row.currency == chosen]
    return shown


def _offer(price: Price, live: list[Subscription]) -> Offer:
    has_plan = any(one.plan_id == price.plan_id for one in live)
    changeable = next((one for one in live if _fits(one, price)), None)
    return Offer(
        price_id=price.stripe_price_id,
        name=str(price.plan),
        price=price_text(price),
        is_current=any(one.price_id == price.pk for one in live),
        changes=changeable.stripe_subscription_id if changeable else "",
        can_buy=changeable is None and (not has_plan or price.plan.allows_many),
    )


def _fits(one: Subscription, price: Price) -> bool:
    """Whether the subscription can change to the price: the same API, the same currency."""
    return (
        price.kind == PriceKind.RECURRING
        and one.price_id != price.pk
        and one.plan is not None
        and one.plan.api_id == price.plan.api_id
        and one.currency == price.currency
        and one.status in access.PAYING
        and one.cancel_at is None
        and not one.paused
    )


def _live(consumer: Consumer) -> QuerySet[Subscription]:
    ended = access.ENDED | access.NOT_BEGUN
    return Subscription.objects.filter(consumer=consumer).exclude(status__in=ended)


def own_subscription(consumer: Consumer, subscription_id: str) -> Subscription:
    """Raises NotFound for anybody else's."""
    rows = Subscription.objects.select_related("project", "consumer__stripe_customer", "plan")
    found = rows.filter(consumer=consumer, stripe_subscription_id=subscription_id).first()
    if found is None:
        raise NotFound("There is no such subscription here.")
    return found


def price_on_sale(project: Project, price_id: str) -> Price:
    """Raises NotFound for another project's, and for what is not sold to people by itself."""
    rows = Price.objects.select_related("plan__api", "project").exclude(kind=PriceKind.METERED)
    on_sale = rows.filter(project=project, active=True, plan__public=True)
    found = on_sale.filter(stripe_price_id=price_id).first()
    if found is None:
        raise NotFound("There is no such price here.")
    return found
