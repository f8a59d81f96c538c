"""What a project sells: the price that is meant by its id, or by a plan and a currency."""

from django.db.models import QuerySet

from billing import currencies
from billing.models import Price
from billing.prices import by_usage_last
from config.errors import NotFound
from keystore.models import Consumer, Project


def on_sale(project: Project) -> QuerySet[Price]:
    """Every price that anybody may buy."""
    rows = Price.objects.select_related("plan__api", "project", "meter")
    return rows.filter(project=project, active=True, only_for=None)


def prices_by_plan(rows: QuerySet[Price]) -> list[list[Price]]:
    """The prices of each plan, the one that is meant by its name first; the cheapest plan first."""
    plans: dict[int, list[Price]] = {}
    for row in rows.order_by("plan__rank", "plan_id", by_usage_last(), "-pk"):
        plans.setdefault(row.plan_id, []).append(row)
    return list(plans.values())


class PriceNotSold(NotFound):
    code = "price_not_found"


def find_price(
    *,
    project: Project,
    stripe_price_id: str = "",
    plan_code: str = "",
    consumer: Consumer | None = None,
    currency: str = "",
    country: str = "",
) -> Price:
    """A price on sale in the project, by its Stripe id or as the newest one of a plan in the
    currency that counts: that of what runs, the one asked for, the consumer's, the project's.

    Raises PriceNotSold; another project's price looks the same as none. Raises CurrencyFixed,
    NoPriceInCurrency.
    """
    rows = on_sale(project)
    if stripe_price_id:
        row = rows.filter(stripe_price_id=stripe_price_id).first()
        if row is not None:
            currencies.refuse_other(row, consumer, currency)
            return row
        raise _not_sold(rows, "body.price_id", stripe_price_id)
    of_plan = list(rows.filter(plan__code=plan_code).order_by(by_usage_last(), "-pk"))
    if not of_plan:
        raise _not_sold(rows, "body.plan", plan_code)
    wanted = currencies.currency_of(
        project=project, consumer=consumer, asked=currency, country=country
    )
    return currencies.pick(of_plan, wanted)


def _not_sold(rows: QuerySet[Price], where: str, asked: str) -> PriceNotSold:
    sold = sorted(set(rows.values_list("plan__code", flat=True)))
    return PriceNotSold(
        f"{asked!r} is not on sale in this project.",
        errors=[
            {
                "location": where,
                "message": "No active price matches.",
                "fix": "Plans on sale: " + (", ".join(sold) or "none") + ".",
            }
        ],
    )
