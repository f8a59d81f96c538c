"""File against Stripe: the writes that make products, features and prices there fit. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from billing.catalog_diff import (
    Change,
    Choice,
    PriceRow,
    StripeMeter,
    StripePrice,
    StripeState,
    Wish,
    choose_prices,
)
from billing.catalog_meters import compare_meters
from billing.catalog_spec import PlanSpec, PriceSpec, ProjectSpec
from billing.catalog_usage import price_params
from billing.models import OperationKind

LONGEST_METADATA = 500
LONGEST_FEATURE_KEY = 80


def compare_stripe(
    project: ProjectSpec, number: int | None, rows: list[PriceRow], stripe: StripeState
) -> list[Change]:
    """What push would do at Stripe. `number`: the project's number in our tables."""
    choices = choose_prices(project, rows, stripe)
    changes = compare_meters(project, stripe)
    products = _products(project, choices, rows, stripe)
    for product_id, plans in products.items():
        changes += _product_changes(project, number, product_id, plans, stripe)
    changes += _feature_changes(project, products, stripe)
    for choice in choices:
        product_id = next(one for one, plans in products.items() if choice.plan in plans)
        changes += _price_changes(project, number, choice, product_id, stripe)
    return changes + _archivals(project, choices, rows, stripe)


def _products(
    project: ProjectSpec, choices: list[Choice], rows: list[PriceRow], stripe: StripeState
) -> dict[str, list[PlanSpec]]:
    """Product ids with the plans that they stand for, those to be made included."""
    products: dict[str, list[PlanSpec]] = {}
    for plan in (plan for plan in project.plans if plan.prices):
        ids = [one.found.product_id for one in choices if one.plan == plan and one.found]
        ids += [row.product_id for row in rows if row.plan == plan.code]
        ids += [
            one.stripe_id
            for one in stripe.products.values()
            if one.active and _is_marked(one.metadata, project, plan)
        ]
        known = [one for one in ids if one in stripe.products]
        found = {one.found.product_id for one in choices if one.plan == plan and one.found}
        home = known[0] if known else f"latchkey_{project.slug}_{plan.code}"
        for product_id in dict.fromkeys([home, *(one for one in known if one in found)]):
            products.setdefault(product_id, []).append(plan)
    return products


def _is_marked(metadata: Mapping[str, str], project: ProjectSpec, plan: PlanSpec) -> bool:
    return (metadata.get("latchkey_project"), metadata.get("latchkey_plan")) == (
        project.slug,
        plan.code,
    )


def _marks(project: ProjectSpec, number: int | None, plans: list[PlanSpec]) -> dict[str, str]:
    marks = {
        "latchkey_project": project.slug,
        "latchkey_plan": _joined(plan.code for plan in plans),
        "feature_code": _joined(_codes(plans)),
    }
    return marks if number is None else {**marks, "project_id": str(number)}


def _joined(codes: Iterable[str]) -> str:
    """As many as metadata can hold."""
    text = ",".join(codes)
    return text if len(text) <= LONGEST_METADATA else text[:LONGEST_METADATA].rpartition(",")[0]


def _product_changes(
    project: ProjectSpec,
    number: int | None,
    product_id: str,
    plans: list[PlanSpec],
    stripe: StripeState,
) -> list[Change]:
    marks = _marks(project, number, plans)
    what = f"product {product_id} of plan {_joined(plan.code for plan in plans)}"
    found = stripe.products.get(product_id)
    tax_code = next((plan.tax_code for plan in plans if plan.tax_code), "")
    name = f"{project.name or project.slug} {plans[0].title}"
    if found is None:
        params: dict[str, Any] = {"id": product_id, "name": name, "metadata": marks}
        if tax_code:
            params["tax_code"] = tax_code
        wish = Wish(OperationKind.CREATE_PRODUCT, "/v1/products", product_id, params)
        return [Change("stripe", "create", what, name, wish)]
    wanted: dict[str, Any] = {}
    if not found.active:
        wanted["active"] = True
    if tax_code and found.tax_code != tax_code:
        wanted["tax_code"] = tax_code
    if missing := _missing(marks, found.metadata):
        wanted["metadata"] = missing
    return _update(OperationKind.UPDATE_PRODUCT, "products", product_id, what, wanted)


def _missing(marks: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    # At Stripe an empty value is none: a plan without features stays without the mark.
    return {name: value for name, value in marks.items() if found.get(name, "") != value}


def _update(
    kind: OperationKind, collection: str, stripe_id: str, what: str, wanted: dict[str, Any]
) -> list[Change]:
    if not wanted:
        return []
    wish = Wish(kind, f"/v1/{collection}/{stripe_id}", stripe_id, wanted)
    return [Change("stripe", "update", what, ", ".join(wanted), wish)]


def _feature_changes(
    project: ProjectSpec, products: Mapping[str, list[PlanSpec]], stripe: StripeState
) -> list[Change]:
    names = {feature.code: feature.name or feature.code for feature in project.features}
    sold = {product_id: _codes(plans) for product_id, plans in products.items()}
    changes = []
    for code in sorted({code for codes in sold.values() for code in codes}):
        key = _feature_key(project, code)
        if key not in stripe.features:
            marks = {"latchkey_project": project.slug, "feature_code": code}
            params = {"lookup_key": key, "name": names[code][:80], "metadata": marks}
            wish = Wish(OperationKind.CREATE_FEATURE, "/v1/entitlements/features", key, params)
            changes.append(Change("stripe", "create", f"feature {key}", names[code], wish))
    for product_id, codes in sold.items():
        changes += _attachments(project, product_id, codes, stripe)
    return changes


def _codes(plans: Iterable[PlanSpec]) -> list[str]:
    return list(dict.fromkeys(value.code for plan in plans for value in plan.features))


def _feature_key(project: ProjectSpec, code: str) -> str:
    """Lookup keys are shared by the whole Stripe account, so they carry the project."""
    return f"{project.slug}.{code}"[:LONGEST_FEATURE_KEY]


def _attachments(
    project: ProjectSpec, product_id: str, codes: Iterable[str], stripe: StripeState
) -> list[Change]:
    product = stripe.products.get(product_id)
    attached = product.feature_ids if product else frozenset()
    changes = []
    for code in codes:
        key = _feature_key(project, code)
        feature_id = stripe.features.get(key, "")
        if feature_id not in attached:
            wish = _attachment(product_id, feature_id) if product and feature_id else None
            changes.append(
                Change("stripe", "attach", f"feature {key} to product {product_id}", "", wish)
            )
    return changes


def _attachment(product_id: str, feature_id: str) -> Wish:
    return Wish(
        OperationKind.ATTACH_FEATURE,
        f"/v1/products/{product_id}/features",
        f"{product_id}:{feature_id}",
        {"entitlement_feature": feature_id},
    )


def _price_changes(
    project: ProjectSpec, number: int | None, choice: Choice, product_id: str, stripe: StripeState
) -> list[Change]:
    price, found = choice.price, choice.found
    marks = _marks(project, number, [choice.plan])
    what = f"price {price.lookup_key} of plan {choice.plan.code}"
    if found is None:
        params = _new_price(price, product_id, marks, stripe)
        wish = Wish(OperationKind.CREATE_PRICE, "/v1/prices", price.lookup_key, params)
        usage = price.terms.usage
        meter = stripe.meters.get(usage.meter) if usage else None
        is_ready = product_id in stripe.products and (usage is None or _is_active(meter))
        return [Change("stripe", "create", what, _why(price, stripe), wish if is_ready else None)]
    wanted: dict[str, Any] = {}
    if not found.active:
        wanted["active"] = True
    if price.tax_behavior and not found.tax_behavior:
        wanted["tax_behavior"] = price.tax_behavior
    if found.lookup_key != price.lookup_key:
        wanted |= {"lookup_key": price.lookup_key, "transfer_lookup_key": True}
    if missing := _missing(marks, found.metadata):
        wanted["metadata"] = missing
    return _update(
        OperationKind.UPDATE_PRICE, "prices", found.stripe_id, f"price {found.stripe_id}", wanted
    )


def _why(price: PriceSpec, stripe: StripeState) -> str:
    pinned = stripe.prices.get(price.stripe_id)
    if price.stripe_id and pinned is None:
        return f"{price.terms}; this Stripe account has no {price.stripe_id}"
    old = next((p for p in stripe.prices.values() if p.lookup_key == price.lookup_key), pinned)
    return f"{price.terms}, was {old.terms}" if old else str(price.terms)


def _is_active(meter: StripeMeter | None) -> bool:
    return meter is not None and meter.active


def _new_price(
    price: PriceSpec, product_id: str, marks: dict[str, str], stripe: StripeState
) -> dict[str, Any]:
    terms = price.terms
    recurring: dict[str, Any] = {
        "interval": terms.interval,
        "interval_count": terms.interval_count,
    }
    amount: dict[str, Any] = {"unit_amount": terms.amount_minor}
    if terms.usage:
        meter = stripe.meters.get(terms.usage.meter)
        recurring |= {"usage_type": "metered", "meter": meter.stripe_id if meter else ""}
        amount = price_params(terms.usage)
    return {
        "product": product_id,
        **amount,
        "currency": terms.currency,
        **({"recurring": recurring} if terms.interval else {}),
        **({"tax_behavior": price.tax_behavior} if price.tax_behavior else {}),
        "lookup_key": price.lookup_key,
        "transfer_lookup_key": True,
        "metadata": marks,
    }


def _archivals(
    project: ProjectSpec, choices: list[Choice], rows: list[PriceRow], stripe: StripeState
) -> list[Change]:
    """Prices of ours that the file does not sell; a successor is made before it is archived."""
    kept = {one.found.stripe_id for one in choices if one.found}
    waiting = {one.plan.code for one in choices if one.found is None}
    ours = {row.stripe_id: row.plan for row in rows}
    ours |= {one.price.stripe_id: one.plan.code for one in choices}
    for one in stripe.prices.values():
        is_offer = "latchkey_offer" in one.metadata  # a creator's, not the file's
        if one.metadata.get("latchkey_project") == project.slug and not is_offer:
            ours.setdefault(one.stripe_id, one.metadata.get("latchkey_plan", ""))
    changes = []
    for stripe_id, plan in sorted(ours.items()):
        found = stripe.prices.get(stripe_id)
        if found is not None and found.active and stripe_id not in kept:
            is_ready = plan not in waiting
            changes += _archival(found, plan, is_ready, choices, stripe)
    return changes


def _archival(
    found: StripePrice, plan: str, is_ready: bool, choices: list[Choice], stripe: StripeState
) -> list[Change]:
    """Stripe refuses to archive a product's default price: another one becomes it first."""
    what = f"price {found.stripe_id}"
    product = stripe.products.get(found.product_id)
    if product is not None and product.default_price_id == found.stripe_id:
        heir = next((o.found.stripe_id for o in choices if o.plan.code == plan and o.found), "")
        moved = _update(
            OperationKind.UPDATE_PRODUCT,
            "products",
            product.stripe_id,
            f"product {product.stripe_id}",
            {"default_price": heir},
        )
        moved = moved if is_ready else [replace(one, wish=None) for one in moved]
        return [*moved, Change("stripe", "archive", what)]
    params = {"active": False}
    path = f"/v1/prices/{found.stripe_id}"
    wish = Wish(OperationKind.UPDATE_PRICE, path, found.stripe_id, params)
    return [Change("stripe", "archive", what, str(found.terms), wish if is_ready else None)]
