"""Stripe's side of the catalogue, read as plain values."""

from typing import Any

from billing import gateway
from billing.catalog_diff import PriceRow, StripePrice, StripeProduct, StripeState
from billing.catalog_spec import Terms
from billing.gateway import Object
from billing.models import PriceKind
from billing.shapes import ref


def read_stripe() -> StripeState:
    """All products, prices and features of the account. Raises StripeUnavailable."""
    prices = [price_of(found) for found in gateway.read_all("/v1/prices")]
    features = gateway.read_all("/v1/entitlements/features")
    products = [_product(found) for found in gateway.read_all("/v1/products")]
    return StripeState(
        products={product.stripe_id: product for product in products},
        prices={price.stripe_id: price for price in prices},
        features={found["lookup_key"]: found["id"] for found in features},
    )


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
    )


def _attached(product_id: str) -> frozenset[str]:
    found = gateway.read_all(f"/v1/products/{product_id}/features")
    return frozenset(ref(one["entitlement_feature"]) for one in found)


def price_of(found: Object) -> StripePrice:
    return StripePrice(
        stripe_id=found["id"],
        product_id=ref(found["product"]),
        active=found["active"],
        terms=_terms(found),
        lookup_key=found.get("lookup_key") or "",
        metadata=found.get("metadata") or {},
    )


def _terms(found: dict[str, Any]) -> Terms | None:
    if found["unit_amount"] is None or found["billing_scheme"] != "per_unit":
        return None
    recurring = found.get("recurring")
    if not recurring:
        return Terms(found["unit_amount"], found["currency"], kind=PriceKind.ONE_OFF.value)
    metered = recurring["usage_type"] == "metered"
    return Terms(
        amount_minor=found["unit_amount"],
        currency=found["currency"],
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
        kind=PriceKind.METERED.value if metered else PriceKind.RECURRING.value,
    )


def marked_row(price: StripePrice) -> PriceRow | None:
    """The row that a price's own metadata asks for; None if it names no plan of ours."""
    plan = price.metadata.get("latchkey_plan", "")
    if not plan or price.terms is None or not price.metadata.get("latchkey_project"):
        return None
    return PriceRow(plan, price.stripe_id, price.product_id, price.terms, price.active)
