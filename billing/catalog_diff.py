"""File against tables against Stripe: what has to change so that all three say the same. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from billing.catalog_spec import PlanSpec, PriceSpec, ProjectSpec, Terms
from billing.models import OperationKind


@dataclass(frozen=True)
class StripePrice:
    stripe_id: str
    product_id: str
    active: bool
    terms: Terms | None  # None: a shape that we do not sell, such as tiers
    lookup_key: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tax_behavior: str = ""  # "": not said, and may be said once


@dataclass(frozen=True)
class StripeProduct:
    stripe_id: str
    name: str
    active: bool
    default_price_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    feature_ids: frozenset[str] = frozenset()  # attached ones
    tax_code: str = ""


@dataclass(frozen=True)
class StripeMeter:
    stripe_id: str
    event_name: str
    display_name: str
    formula: str
    active: bool


@dataclass(frozen=True)
class StripeState:
    """Stripe's side of the catalogue. `features` are ids by lookup key, `meters` by event name."""

    products: Mapping[str, StripeProduct]
    prices: Mapping[str, StripePrice]
    features: Mapping[str, str]
    meters: Mapping[str, StripeMeter]


@dataclass(frozen=True)
class PriceRow:
    """A price in our tables."""

    plan: str
    stripe_id: str
    product_id: str
    terms: Terms
    active: bool
    trial_days: int | None = None  # None: as they are
    tax_behavior: str = ""


@dataclass(frozen=True)
class Wish:
    """A write to Stripe that would make a change true."""

    kind: OperationKind
    path: str
    subject: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One line of a diff. A change at Stripe without a wish waits for another one."""

    place: str  # "tables" or "stripe"
    act: str
    what: str
    detail: str = ""
    wish: Wish | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.act} {self.what}" + (
            f" ({self.detail})" if self.detail else ""
        )


# --- File against tables ----------------------------------------------------------------------


def compare_tables(wanted: ProjectSpec, found: ProjectSpec | None) -> list[Change]:
    """What push would write to the tables, prices apart."""
    if found is None:
        return [Change("tables", "create", f"project {wanted.slug}")]
    changes = _fields(
        f"project {wanted.slug}", wanted, found, ("name", "allowed_origins", "grace_days")
    )
    changes += _by_code("API", wanted.apis, found.apis, ("name",))
    changes += _by_code("feature", wanted.features, found.features, ("name", "kind"))
    changes += _by_code("meter", wanted.meters, found.meters, METER_FIELDS)
    changes += _by_code("plan", wanted.plans, found.plans, PLAN_FIELDS)
    for plan in wanted.plans:
        known = next((one for one in found.plans if one.code == plan.code), None)
        changes += _plan_features(plan, known) if known else []
    gone = {plan.code for plan in found.plans if plan.public} - {one.code for one in wanted.plans}
    changes += [
        Change("tables", "hide", f"plan {code}", "not in the file") for code in sorted(gone)
    ]
    return changes


METER_FIELDS = (
    *("name", "unit", "aggregation", "value_property", "feature"),
    *("dimensions", "thresholds", "stripe_event_name"),
)
PLAN_FIELDS = (
    *("name", "rank", "api", "limit_per_minute"),
    *("issues_key", "allows_many", "public"),
)


def _by_code(
    kind: str, wanted: Iterable[Any], found: Iterable[Any], names: Iterable[str]
) -> list[Change]:
    known = {one.code: one for one in found}
    changes = []
    for one in wanted:
        if one.code not in known:
            changes.append(Change("tables", "create", f"{kind} {one.code}"))
        else:
            changes += _fields(f"{kind} {one.code}", one, known[one.code], names)
    return changes


def _fields(what: str, wanted: object, found: object, names: Iterable[str]) -> list[Change]:
    details = [
        f"{name} {_shown(getattr(found, name))} -> {_shown(getattr(wanted, name))}"
        for name in names
        if getattr(wanted, name) != getattr(found, name)
    ]
    return [Change("tables", "update", what, ", ".join(details))] if details else []


def _plan_features(wanted: PlanSpec, found: PlanSpec) -> list[Change]:
    old = {value.code: value for value in found.features}
    new = {value.code: value for value in wanted.features}
    what = f"plan {wanted.code}: feature"
    changes = [Change("tables", "remove", f"{what} {code}") for code in sorted(old.keys() - new)]
    for code, value in new.items():
        if code not in old:
            changes.append(Change("tables", "add", f"{what} {code}"))
        else:
            names = ("limit", "config", "reset", "enforcement")
            changes += _fields(f"{what} {code}", value, old[code], names)
    return changes


def _shown(value: object) -> str:
    return "unlimited" if value is None else repr(value) if isinstance(value, str) else str(value)


# --- Which price at Stripe is which in the file -----------------------------------------------


@dataclass(frozen=True)
class Choice:
    """The Stripe price that a price of the file is; None: it has to be made."""

    plan: PlanSpec
    price: PriceSpec
    found: StripePrice | None


def choose_prices(
    project: ProjectSpec, rows: Iterable[PriceRow], stripe: StripeState
) -> list[Choice]:
    by_plan: dict[str, list[str]] = {}
    for row in rows:
        by_plan.setdefault(row.plan, []).append(row.stripe_id)
    return [
        Choice(plan, price, _choose(price, by_plan.get(plan.code, []), stripe))
        for plan in project.plans
        for price in plan.prices
    ]


def _choose(price: PriceSpec, known_ids: list[str], stripe: StripeState) -> StripePrice | None:
    pinned = stripe.prices.get(price.stripe_id)
    if price.is_adopted:
        return pinned
    holders = [one for one in stripe.prices.values() if one.lookup_key == price.lookup_key]
    rows = [stripe.prices[one] for one in known_ids if one in stripe.prices]
    fitting = [one for one in (*holders, pinned, *rows) if one and _fits(one, price)]
    return next((one for one in fitting if one.active), fitting[0] if fitting else None)


def _fits(one: StripePrice, price: PriceSpec) -> bool:
    """Whether it has other taxes in it: at Stripe that is said once and never changes."""
    taxes = ("", one.tax_behavior) if one.tax_behavior else ("", "inclusive", "exclusive")
    return one.terms == price.terms and price.tax_behavior in taxes


def wanted_rows(choices: Iterable[Choice]) -> list[PriceRow]:
    """The rows of our tables for the prices that exist at Stripe."""
    return [
        PriceRow(
            one.plan.code,
            one.found.stripe_id,
            one.found.product_id,
            one.found.terms,
            True,
            one.price.trial_days,
            one.found.tax_behavior,
        )
        for one in choices
        if one.found is not None and one.found.terms is not None
    ]


def compare_rows(wanted: Iterable[PriceRow], found: Iterable[PriceRow]) -> list[Change]:
    """What push would write to our table of prices."""
    known = {row.stripe_id: row for row in found}
    new = {row.stripe_id: row for row in wanted}
    changes = []
    for stripe_id, row in new.items():
        what = f"price {stripe_id} of plan {row.plan}"
        if stripe_id not in known:
            changes.append(Change("tables", "create", what, str(row.terms)))
        elif row != known[stripe_id]:
            changes += _fields(
                what,
                row,
                known[stripe_id],
                ("plan", "product_id", "terms", "active", "trial_days", "tax_behavior"),
            )
    for stripe_id in known.keys() - new.keys():
        if known[stripe_id].active:
            changes.append(Change("tables", "archive", f"price {stripe_id}"))
    return changes
