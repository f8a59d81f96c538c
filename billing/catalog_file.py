"""The catalogue file: from YAML to what a project sells, and back. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any

import yaml

from billing.catalog_coupon_file import coupon_tree, read_coupon
from billing.catalog_places import LARGEST, SMALLER, CatalogMistake, Entries, Place, read_places
from billing.catalog_spec import (
    ApiSpec,
    FeatureSpec,
    MeterSpec,
    PlanFeatureSpec,
    PlanSpec,
    PriceSpec,
    ProjectSpec,
    Terms,
)
from billing.catalog_usage import (
    USAGE_KEYS,
    meter_tree,
    read_meter,
    read_usage,
    require_distinct_meters,
    usage_tree,
)
from billing.models import PriceKind
from billing.models.catalog import TaxBehavior
from billing.origins import origin_of
from entitlements.models import Enforcement, FeatureKind, Reset

UNLIMITED = "unlimited"
CURRENCY = r"[a-z]{3}"
TAX_CODE = r"txcd_\d{8}"
INTERVALS = ("day", "week", "month", "year")
LONGEST_NAME = 200
MOST_GRACE_DAYS = 365
MOST_INTERVALS = 1095  # Stripe bills at least every three years
MOST_TRIAL_DAYS = 730  # that Stripe takes
PROJECT_KEYS = (
    *("number", "name", "allowed_origins", "grace_days"),
    *("apis", "features", "meters", "plans", "coupons"),
)
PLAN_KEYS = (
    *("name", "rank", "api", "limit_per_minute", "issues_key", "allows_many", "public"),
    *("tax_code", "features", "prices"),
)
PRICE_KEYS = (
    *("amount_minor", "currency", "interval", "interval_count", "kind"),
    *("stripe_id", "lookup_key", "trial_days", "tax_behavior"),
    *USAGE_KEYS,
)
VALUE_KEYS = ("limit", "config", "reset", "enforcement")
# Of several variables that are set for one plan, the first wins.
PRICE_VARIABLES = ("PRICE_ID_{}", "STRIPE_PRICE_{}")
LIMIT_VARIABLE = "RATE_LIMIT_{}"


def parse_catalog(text: str, *, variables: Mapping[str, str] | None = None) -> list[ProjectSpec]:
    """The projects of a file. `variables` (PRICE_ID_PRO, STRIPE_PRICE_PRO, RATE_LIMIT_PRO and so
    on) override the first price and the rate limit of the plan that they name.

    Raises CatalogMistake.
    """
    top = read_places(text).mapping(["projects"])
    if "projects" not in top:
        raise CatalogMistake("line 1: the file must hold `projects:`.")
    projects = [_project(slug, place) for slug, place in top["projects"].mapping().items()]
    return [_overridden(project, variables or {}) for project in projects]


def _project(slug: str, place: Place) -> ProjectSpec:
    given = place.mapping(PROJECT_KEYS)
    project = ProjectSpec(
        slug=_code(slug, place),
        name=_name(given),
        number=given.whole("number", 0, least=1) or None,
        allowed_origins=tuple(_origin(item) for item in given.items_of("allowed_origins")),
        grace_days=given.whole("grace_days", 7, most=MOST_GRACE_DAYS),
        apis=tuple(
            ApiSpec(_code(code, api), _name(api.mapping(["name"])))
            for code, api in given.mapping_of("apis").items()
        ),
        features=tuple(
            _feature(code, feature) for code, feature in given.mapping_of("features").items()
        ),
    )
    features = [feature.code for feature in project.features]
    meters = tuple(
        read_meter(_code(code, meter), meter, features)
        for code, meter in given.mapping_of("meters").items()
    )
    require_distinct_meters(place, meters)
    project = replace(project, meters=meters)
    plans = tuple(_plan(code, plan, project) for code, plan in given.mapping_of("plans").items())
    _require_distinct_prices(place, plans)
    coupons = tuple(
        read_coupon(code, coupon) for code, coupon in given.mapping_of("coupons").items()
    )
    return replace(project, plans=plans, coupons=coupons)


def _feature(code: str, place: Place) -> FeatureSpec:
    given = place.mapping(["name", "kind"])
    kind = given.choice("kind", FeatureKind.values, FeatureKind.BOOLEAN)
    return FeatureSpec(_code(code, place), _name(given), kind)


def _plan(code: str, place: Place, project: ProjectSpec) -> PlanSpec:
    given = place.mapping(PLAN_KEYS)
    api = given.text("api")
    if api and api not in {known.code for known in project.apis}:
        raise given["api"].refuse(f"the project has no API {api!r}; add it to `apis`.")
    kinds = {feature.code: feature.kind for feature in project.features}
    return PlanSpec(
        code=_code(code, place),
        name=_name(given),
        rank=given.whole("rank", 0),
        api=api,
        limit_per_minute=_limit(given["limit_per_minute"], SMALLER)
        if "limit_per_minute" in given
        else None,
        issues_key=given.flag("issues_key", True),
        allows_many=given.flag("allows_many", False),
        public=given.flag("public", True),
        tax_code=given["tax_code"].matching(TAX_CODE, "a tax code such as txcd_10103001")
        if "tax_code" in given
        else "",
        features=tuple(
            _value(feature, value, kinds) for feature, value in given.mapping_of("features").items()
        ),
        prices=tuple(
            _price(item, f"{project.slug}_{code}", project.meters)
            for item in given.items_of("prices")
        ),
    )


def _value(code: str, place: Place, kinds: Mapping[str, str]) -> PlanFeatureSpec:
    """`true`, a whole number, `unlimited`, or a mapping with reset and enforcement."""
    kind = kinds.get(code)
    if kind is None:
        raise place.refuse("the project has no such feature; add it to `features`.")
    given = place.mapping(VALUE_KEYS) if isinstance(place.value, dict) else Entries()
    value = PlanFeatureSpec(
        code,
        reset=given.choice("reset", Reset.values, Reset.BILLING_PERIOD),
        enforcement=given.choice("enforcement", Enforcement.values, Enforcement.HARD),
    )
    if kind == FeatureKind.LIMIT:
        wanted = given.get("limit") if given else place
        if wanted is None:
            raise place.refuse("give `limit`: a whole number or `unlimited`.")
        return replace(value, limit=_limit(wanted))
    if kind == FeatureKind.CONFIG:
        if "config" not in given:
            raise place.refuse("give `config: ...`, the value of this configuration feature.")
        return replace(value, config=given["config"].plain())
    if place.value is not True:
        raise place.refuse("a boolean feature of a plan is `true`; leave it out otherwise.")
    return PlanFeatureSpec(code)


def _limit(place: Place, most: int = LARGEST) -> int | None:
    if place.value == UNLIMITED:
        return None
    if not isinstance(place.value, int):
        raise place.refuse(f"must be a whole number or `{UNLIMITED}`.")
    return place.whole(0, most)


def _price(place: Place, prefix: str, meters: Iterable[MeterSpec]) -> PriceSpec:
    given = place.mapping(PRICE_KEYS)
    interval = given.choice("interval", INTERVALS, "")
    kind = given.choice(
        "kind", PriceKind.values, PriceKind.RECURRING if interval else PriceKind.ONE_OFF
    )
    if "meter" in given:
        kind = PriceKind.METERED.value
    for name in ("currency",) if "meter" in given else ("amount_minor", "currency"):
        if name not in given:
            raise place.refuse(f"a price needs `{name}`.")
    if (kind == PriceKind.ONE_OFF) == bool(interval):
        raise place.refuse("a one_off price has no interval, every other one has.")
    terms = _terms(place, given, interval, kind, {meter.code: meter for meter in meters})
    stripe_id = given.text("stripe_id")
    if kind == PriceKind.METERED and terms.usage is None and not stripe_id:
        raise place.refuse("a metered price names its `meter`, or a `stripe_id` that has one.")
    return PriceSpec(
        lookup_key=given.text("lookup_key") or default_lookup_key(prefix, terms),
        terms=terms,
        stripe_id=stripe_id,
        is_adopted=kind == PriceKind.METERED and terms.usage is None,
        trial_days=given.whole("trial_days", 0, least=0, most=MOST_TRIAL_DAYS),
        tax_behavior=given.choice("tax_behavior", TaxBehavior.values, ""),
    )


def _terms(
    place: Place, given: Entries, interval: str, kind: str, meters: Mapping[str, MeterSpec]
) -> Terms:
    usage = None
    if "meter" in given:
        usage, amount_minor = read_usage(place, given, meters)
    else:
        for name in (name for name in USAGE_KEYS if name in given):
            raise given[name].refuse("only a price with a `meter` has this.")
        amount_minor = given["amount_minor"].whole()
    return Terms(
        amount_minor=amount_minor,
        currency=given["currency"].matching(CURRENCY, "a currency such as usd"),
        interval=interval,
        interval_count=given.whole("interval_count", 1, least=1, most=MOST_INTERVALS),
        kind=kind,
        usage=usage,
    )


def default_lookup_key(prefix: str, terms: Terms) -> str:
    count = f"{terms.interval_count}" if terms.interval_count != 1 else ""
    key = f"{prefix}_{count}{terms.interval or 'once'}_{terms.currency}"
    return f"{key}_{terms.usage.meter}" if terms.usage else key


def _code(code: str, place: Place) -> str:
    if not code or len(code) > 50 or not code.replace("-", "_").replace("_", "a").isalnum():
        raise place.refuse(f"{code!r} is no code: letters, digits, - and _, 50 at most.")
    if not code.isascii():
        raise place.refuse(f"{code!r} is no code: only ASCII letters.")
    return code


def _name(given: Entries) -> str:
    name = given.text("name")
    if len(name) > LONGEST_NAME:
        raise given["name"].refuse(f"is longer than {LONGEST_NAME} characters.")
    return name


def _origin(place: Place) -> str:
    if origin_of(place.text()) != place.value:
        raise place.refuse("must be an origin such as https://app.example.com, without a path.")
    return place.text()


def _require_distinct_prices(place: Place, plans: Iterable[PlanSpec]) -> None:
    seen: set[str] = set()
    for price in (price for plan in plans for price in plan.prices):
        for name in filter(None, (price.lookup_key, price.stripe_id)):
            if name in seen:
                raise place.refuse(f"two prices are called {name!r}: give them a `lookup_key`.")
            seen.add(name)


# --- What the environment says ----------------------------------------------------------------


def _overridden(project: ProjectSpec, variables: Mapping[str, str]) -> ProjectSpec:
    return replace(project, plans=tuple(_override(plan, variables) for plan in project.plans))


def _override(plan: PlanSpec, variables: Mapping[str, str]) -> PlanSpec:
    name = plan.code.upper().replace("-", "_")
    price_ids = (variables.get(pattern.format(name), "") for pattern in PRICE_VARIABLES)
    price_id = next(filter(None, price_ids), "")
    if price_id and not plan.prices:
        raise CatalogMistake(f"{price_id}: the plan {plan.code!r} has no price in the file.")
    if price_id:
        first = replace(plan.prices[0], stripe_id=price_id, is_adopted=True)
        plan = replace(plan, prices=(first, *plan.prices[1:]))
    limit = variables.get(LIMIT_VARIABLE.format(name), "")
    if limit and not limit.isdecimal():
        raise CatalogMistake(f"{LIMIT_VARIABLE.format(name)}={limit!r}: must be a whole number.")
    return replace(plan, limit_per_minute=int(limit)) if limit else plan


# --- And back ---------------------------------------------------------------------------------


def dump_catalog(projects: Iterable[ProjectSpec]) -> str:
    """The file that says the same; reading it gives the projects again."""
    tree = {"projects": {project.slug: _project_tree(project) for project in projects}}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)


def _project_tree(project: ProjectSpec) -> dict[str, Any]:
    kinds = {feature.code: feature.kind for feature in project.features}
    return _filled(
        number=project.number,
        name=project.name,
        allowed_origins=list(project.allowed_origins),
        grace_days=project.grace_days,
        apis={api.code: _filled(name=api.name) for api in project.apis},
        features={
            feature.code: _filled(name=feature.name, kind=feature.kind)
            for feature in project.features
        },
        meters={meter.code: meter_tree(meter) for meter in project.meters},
        plans={plan.code: _plan_tree(plan, project, kinds) for plan in project.plans},
        coupons={one.terms.code: coupon_tree(one) for one in project.coupons},
    )


def _plan_tree(plan: PlanSpec, project: ProjectSpec, kinds: Mapping[str, str]) -> dict[str, Any]:
    flags = {
        name: getattr(plan, name)
        for name in ("issues_key", "allows_many", "public")
        if getattr(plan, name) != getattr(PlanSpec(""), name)
    }
    return {
        **_filled(name=plan.name, rank=plan.rank, api=plan.api),
        **_filled(limit_per_minute=plan.limit_per_minute),
        **flags,
        **_filled(tax_code=plan.tax_code),
        "features": {value.code: _value_tree(value, kinds[value.code]) for value in plan.features},
        "prices": [
            _price_tree(price, f"{project.slug}_{plan.code}", project.meters)
            for price in plan.prices
        ],
    }


def _value_tree(value: PlanFeatureSpec, kind: str) -> Any:
    if kind == FeatureKind.BOOLEAN:
        return True
    limit = UNLIMITED if value.limit is None else value.limit
    simple = PlanFeatureSpec(value.code, limit=value.limit)
    if kind == FeatureKind.LIMIT and value == simple:
        return limit
    shown = {"limit": limit} if kind == FeatureKind.LIMIT else {"config": value.config}
    return {**shown, "reset": str(value.reset), "enforcement": str(value.enforcement)}


def _price_tree(price: PriceSpec, prefix: str, meters: Iterable[MeterSpec]) -> dict[str, Any]:
    terms = price.terms
    usual = default_lookup_key(prefix, terms)
    adopted = terms.kind == PriceKind.METERED and not terms.usage
    return {
        **(
            usage_tree(terms.usage, meters) if terms.usage else {"amount_minor": terms.amount_minor}
        ),
        **_filled(currency=terms.currency, interval=terms.interval),
        **({"interval_count": terms.interval_count} if terms.interval_count != 1 else {}),
        **({"kind": str(terms.kind)} if adopted else {}),
        **({"trial_days": price.trial_days} if price.trial_days else {}),
        **_filled(tax_behavior=price.tax_behavior, stripe_id=price.stripe_id),
        **({"lookup_key": price.lookup_key} if price.lookup_key != usual else {}),
    }


def _filled(**entries: Any) -> dict[str, Any]:
    """Only what says something."""
    return {name: value for name, value in entries.items() if value not in (None, "", [], {})}


def keep_heading(text: str) -> str:
    """The comments above the first entry of a file, for the file that replaces it."""
    lines = text.splitlines(keepends=True)
    return "".join(takewhile(lambda line: line.startswith("#") or not line.strip(), lines))
