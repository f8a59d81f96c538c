"""Stripe's side of the catalogue, read as plain values."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from billing import gateway
from billing.catalog_diff import PriceRow, StripeMeter, StripePrice, StripeProduct, StripeState
from billing.catalog_spec import Terms
from billing.catalog_usage import from_stripe
from billing.gateway import Object
from billing.models import PriceKind
from billing.shapes import ref


def read_stripe() -> StripeState:
    """All products, prices, features and meters of the account. Raises StripeUnavailable."""
    meters = read_meters()
    names = {meter.stripe_id: meter.event_name for meter in meters}
    found_prices = gateway.read_all("/v1/prices", expand=["data.tiers"])
    prices = [price_of(found, names) for found in found_prices]
    features = gateway.read_all("/v1/entitlements/features")
    products = [_product(found) for found in gateway.read_all("/v1/products")]
    return StripeState(
        products={product.stripe_id: product for product in products},
        prices={price.stripe_id: price for price in prices},
        features={found["lookup_key"]: found["id"] for found in features},
        # Of several of one name at most one is active: it counts.
        meters={meter.event_name: meter for meter in sorted(meters, key=lambda one: one.active)},
    )


def read_meters() -> list[StripeMeter]:
    return [
        StripeMeter(
            stripe_id=found["id"],
            event_name=found["event_name"],
            display_name=found["display_name"],
            formula=found["default_aggregation"]["formula"],
            active=found["status"] == "active",
        )
        for found in gateway.read_all("/v1/billing/meters")
    ]


def _product(found: Object) -> StripeProduct:
    metadata = found.get("metadata") or {}
    # Attached features are read one product at a time: only for those that we marked.
    attached = _attached(found["id"]) if "latchkey_project" in metadata else frozenset()
    return StripeProduct(
        stripe_id=found["id"],
        name=found["name"],
        active=found["active"],
        default_price_id=ref(found.get("default_price")),
        metadata=metadata,
        feature_ids=attached,
        tax_code=ref(found.get("tax_code")),
    )


def _attached(product_id: str) -> frozenset[str]:
    found = gateway.read_all(f"/v1/products/{product_id}/features")
    return frozenset(ref(one["entitlement_feature"]) for one in found)


def price_of(found: Object, meters: Mapping[str, str]) -> StripePrice:
    """`meters`: event names by the id of Stripe's meter."""
    return StripePrice(
        stripe_id=found["id"],
        product_id=ref(found["product"]),
        active=found["active"],
        terms=_terms(found, meters),
        lookup_key=found.get("lookup_key") or "",
        metadata=found.get("metadata") or {},
        tax_behavior=_behavior(found),
    )


def _behavior(found: Object) -> str:
    said = found.get("tax_behavior") or ""
    return "" if said == "unspecified" else said


def _terms(found: dict[str, Any], meters: Mapping[str, str]) -> Terms | None:
    recurring = found.get("recurring")
    if recurring and recurring["usage_type"] == "metered":
        return _metered(found, recurring, meters)
    if found["unit_amount"] is None or found["billing_scheme"] != "per_unit":
        return None
    if not recurring:
        return Terms(found["unit_amount"], found["currency"], kind=PriceKind.ONE_OFF.value)
    return Terms(
        amount_minor=found["unit_amount"],
        currency=found["currency"],
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
        kind=PriceKind.RECURRING.value,
    )


def _metered(
    found: dict[str, Any], recurring: dict[str, Any], meters: Mapping[str, str]
) -> Terms | None:
    # A meter that we were not told of keeps its id for a name: its price can still be sold.
    name = meters.get(recurring["meter"], recurring["meter"]) or ""
    usage = from_stripe(found, name)
    if usage is None:
        return None
    return Terms(
        amount_minor=int(Decimal(usage.unit_amount or 0)),
        currency=found["currency"],
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
        kind=PriceKind.METERED.value,
        usage=usage,
    )


def marked_row(price: StripePrice) -> PriceRow | None:
    """The row that a price's own metadata asks for; None if it names no plan of ours."""
    plan = price.metadata.get("latchkey_plan", "")
    if not plan or price.terms is None or not price.metadata.get("latchkey_project"):
        return None
    return PriceRow(
        plan,
        price.stripe_id,
        price.product_id,
        price.terms,
        price.active,
        tax_behavior=price.tax_behavior,
    )
