"""Meters and what usage costs: in the catalogue file, in our table, in Stripe's form. Pure."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from billing.catalog_places import LARGEST, Entries, Place
from billing.catalog_spec import USUAL_THRESHOLDS, MeterSpec, Tier, UsageTerms
from metering.models import Aggregation

EVENT_NAME = r"[A-Za-z0-9_.:-]{1,100}"
METER_KEYS = (
    *("name", "unit", "aggregation", "value_property", "feature"),
    *("dimensions", "thresholds", "stripe_event_name"),
)
USAGE_KEYS = ("meter", "amount_decimal", "tiers", "tiers_mode", "divide_by", "round")
TIER_KEYS = ("up_to", "amount_minor", "amount_decimal", "flat_minor", "flat_decimal")
TIERS_MODES = ("graduated", "volume")
ROUNDINGS = ("up", "down")
ENDLESS = "inf"
MOST_DECIMALS = 12  # that Stripe takes of a unit amount
MOST_THRESHOLD = 1000
LONGEST_NAME = 200
LONGEST_UNIT = 50
LONGEST_PROPERTY = 100
# Stripe adds up what we report, or takes the last: it has no other formula.
# What cannot be added up is told as it stands, and Stripe bills the last that it was told.
FORMULAS = {
    Aggregation.SUM: "sum",
    Aggregation.COUNT: "sum",
    Aggregation.MAX: "last",
    Aggregation.LATEST: "last",
    Aggregation.UNIQUE: "last",
}


# --- The file ------------------------------------------------------------------------------------


def read_meter(code: str, place: Place, features: Iterable[str]) -> MeterSpec:
    """A meter of the file. Raises CatalogMistake."""
    given = place.mapping(METER_KEYS)
    feature = given.text("feature")
    if feature and feature not in features:
        raise given["feature"].refuse(f"the project has no feature {feature!r}.")
    spec = MeterSpec(
        code=code,
        name=_short(given, "name", LONGEST_NAME),
        unit=_short(given, "unit", LONGEST_UNIT),
        aggregation=given.choice("aggregation", Aggregation.values, Aggregation.SUM),
        value_property=_short(given, "value_property", LONGEST_PROPERTY),
        feature=feature,
        dimensions=tuple(item.text() for item in given.items_of("dimensions")),
        thresholds=tuple(item.whole(1, MOST_THRESHOLD) for item in given.items_of("thresholds"))
        if "thresholds" in given
        else USUAL_THRESHOLDS,
        stripe_event_name=given["stripe_event_name"].matching(EVENT_NAME, "an event name")
        if "stripe_event_name" in given
        else "",
    )
    if spec.aggregation == Aggregation.UNIQUE and not spec.value_property:
        raise place.refuse("a unique meter needs `value_property`: whose values it counts.")
    return spec


def _short(given: Entries, name: str, longest: int) -> str:
    text = given.text(name)
    if len(text) > longest:
        raise given[name].refuse(f"is longer than {longest} characters.")
    return text


def require_distinct_meters(place: Place, meters: Iterable[MeterSpec]) -> None:
    """At Stripe an event name belongs to one meter, and here a feature to one."""
    seen: set[str] = set()
    for meter in meters:
        names = (f"event name {meter.stripe_event_name}", f"feature {meter.feature}")
        for name in (name for name in names if not name.endswith(" ")):
            if name in seen:
                raise place.refuse(f"two meters have the {name}.")
            seen.add(name)


def read_usage(
    place: Place, given: Entries, meters: Mapping[str, MeterSpec]
) -> tuple[UsageTerms, int]:
    """What a metered price of the file costs, and the whole part of its unit amount."""
    code = given["meter"].text()
    meter = meters.get(code)
    if meter is None:
        raise given["meter"].refuse(f"the project has no meter {code!r}; add it to `meters`.")
    if not meter.stripe_event_name:
        raise given["meter"].refuse(f"give the meter {code!r} a `stripe_event_name` first.")
    ways = [name for name in ("amount_minor", "amount_decimal", "tiers") if name in given]
    if len(ways) != 1:
        raise place.refuse("give one of `amount_minor`, `amount_decimal` and `tiers`.")
    tiers = tuple(_tier(item) for item in given.items_of("tiers"))
    if "tiers" in given:
        _check_tiers(given["tiers"], tiers)
    unit = "" if tiers else _amount(given, "amount_minor", "amount_decimal")
    terms = UsageTerms(
        meter=meter.stripe_event_name,
        unit_amount=unit,
        tiers_mode=given.choice("tiers_mode", TIERS_MODES, "graduated") if tiers else "",
        tiers=tiers,
        divide_by=given.whole("divide_by", 1, least=1),
        round=given.choice("round", ROUNDINGS, "up"),
    )
    if tiers and terms.divide_by != 1:
        raise given["divide_by"].refuse("Stripe does not divide the units of a tiered price.")
    return terms, int(Decimal(unit or 0))


def _tier(place: Place) -> Tier:
    given = place.mapping(TIER_KEYS)
    if "up_to" not in given:
        raise place.refuse(f"give `up_to`: a number of units, or `{ENDLESS}` for the last tier.")
    is_last = given["up_to"].value == ENDLESS
    return Tier(
        up_to=None if is_last else given["up_to"].whole(1, LARGEST),
        unit_amount=_amount(given, "amount_minor", "amount_decimal"),
        flat_amount=_amount(given, "flat_minor", "flat_decimal"),
    )


def _check_tiers(place: Place, tiers: tuple[Tier, ...]) -> None:
    bounds = [tier.up_to for tier in tiers]
    known = [bound for bound in bounds if bound is not None]
    if not bounds or bounds[-1] is not None or len(known) != len(bounds) - 1:
        raise place.refuse(f"the last tier, and only it, is `up_to: {ENDLESS}`.")
    if known != sorted(set(known)):
        raise place.refuse("each tier reaches further than the one before it.")


def _amount(given: Entries, whole: str, exact: str) -> str:
    if whole in given:
        return str(given[whole].whole())
    if exact not in given:
        return "0"
    place = given[exact]
    try:
        value = Decimal(place.text())
    except InvalidOperation:
        value = Decimal(-1)
    exponent = value.as_tuple().exponent
    if not value.is_finite() or value < 0 or not isinstance(exponent, int):
        raise place.refuse('must be a decimal in quotes, such as "0.05".')
    if -exponent > MOST_DECIMALS or value > LARGEST:
        raise place.refuse(f"has more than {MOST_DECIMALS} decimals, or is too large.")
    return plain(value)


def plain(value: Decimal | str | int) -> str:
    """0.050 -> "0.05": the same amount is always the same text."""
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- And back ------------------------------------------------------------------------------------


def meter_tree(meter: MeterSpec) -> dict[str, Any]:
    usual = MeterSpec(meter.code)
    return {
        name: list(value) if isinstance(value, tuple) else str(value)
        for name in METER_KEYS
        if (value := getattr(meter, name)) != getattr(usual, name)
    }


def usage_tree(terms: UsageTerms, meters: Iterable[MeterSpec]) -> dict[str, Any]:
    """The entries of a metered price; the meter under its code."""
    codes = {meter.stripe_event_name: meter.code for meter in meters}
    tree: dict[str, Any] = {"meter": codes.get(terms.meter, terms.meter)}
    if terms.tiers:
        tree["tiers_mode"] = terms.tiers_mode
        tree["tiers"] = [_tier_tree(tier) for tier in terms.tiers]
    else:
        tree |= _amount_tree(terms.unit_amount, "amount")
    if terms.divide_by != 1:
        tree |= {"divide_by": terms.divide_by, "round": terms.round}
    return tree


def _tier_tree(tier: Tier) -> dict[str, Any]:
    tree: dict[str, Any] = {"up_to": ENDLESS if tier.up_to is None else tier.up_to}
    tree |= _amount_tree(tier.unit_amount, "amount")
    return tree | (_amount_tree(tier.flat_amount, "flat") if tier.flat_amount != "0" else {})


def _amount_tree(amount: str, name: str) -> dict[str, Any]:
    return {f"{name}_decimal": amount} if "." in amount else {f"{name}_minor": int(amount)}


# --- Our table -----------------------------------------------------------------------------------


def as_json(terms: UsageTerms | None) -> dict[str, Any]:
    """What a row of our prices keeps; {} for a price that is not metered."""
    if terms is None:
        return {}
    tiers = [[tier.up_to, tier.unit_amount, tier.flat_amount] for tier in terms.tiers]
    return {
        "meter": terms.meter,
        "unit_amount": terms.unit_amount,
        "tiers_mode": terms.tiers_mode,
        "tiers": tiers,
        "divide_by": terms.divide_by,
        "round": terms.round,
    }


def from_json(kept: Mapping[str, Any]) -> UsageTerms | None:
    if not kept:
        return None
    return UsageTerms(**{**kept, "tiers": tuple(Tier(*tier) for tier in kept["tiers"])})


# --- Stripe --------------------------------------------------------------------------------------


def from_stripe(found: Mapping[str, Any], event_name: str) -> UsageTerms | None:
    """What a metered price read with its tiers costs; None if the tiers were not read."""
    if found["billing_scheme"] == "tiered":
        if not found.get("tiers"):
            return None
        tiers = tuple(_tier_of(tier) for tier in found["tiers"])
        return UsageTerms(event_name, tiers_mode=found["tiers_mode"], tiers=tiers)
    divide = found.get("transform_quantity") or {"divide_by": 1, "round": "up"}
    return UsageTerms(
        event_name,
        unit_amount=plain(found["unit_amount_decimal"] or 0),
        divide_by=divide["divide_by"],
        round=divide["round"],
    )


def _tier_of(found: Mapping[str, Any]) -> Tier:
    return Tier(
        found["up_to"],
        plain(found["unit_amount_decimal"] or 0),
        plain(found["flat_amount_decimal"] or 0),
    )


def price_params(terms: UsageTerms) -> dict[str, Any]:
    """The amount of a metered price, as POST /v1/prices takes it."""
    if terms.tiers:
        tiers = [
            {
                "up_to": ENDLESS if tier.up_to is None else tier.up_to,
                "unit_amount_decimal": tier.unit_amount,
                **({"flat_amount_decimal": tier.flat_amount} if tier.flat_amount != "0" else {}),
            }
            for tier in terms.tiers
        ]
        return {"billing_scheme": "tiered", "tiers_mode": terms.tiers_mode, "tiers": tiers}
    params: dict[str, Any] = {"unit_amount_decimal": terms.unit_amount}
    if terms.divide_by != 1:
        params["transform_quantity"] = {"divide_by": terms.divide_by, "round": terms.round}
    return params


def meter_params(meter: MeterSpec) -> dict[str, Any]:
    """POST /v1/billing/meters: customers by id, values whole."""
    return {
        "display_name": meter.name or meter.code,
        "event_name": meter.stripe_event_name,
        "default_aggregation": {"formula": FORMULAS[Aggregation(meter.aggregation)]},
        "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
        "value_settings": {"event_payload_key": "value"},
    }
