"""The catalogue as code: a file, our tables and Stripe, brought to say the same."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from billing import gateway
from billing.catalog_coupons import compare_coupons, push_coupons
from billing.catalog_diff import (
    Change,
    PriceRow,
    StripeState,
    Wish,
    choose_prices,
    compare_rows,
    compare_tables,
    wanted_rows,
)
from billing.catalog_meters import find_meter, link_meters, settle_meter
from billing.catalog_places import CatalogMistake
from billing.catalog_spec import PriceSpec, ProjectSpec
from billing.catalog_stripe import marked_row, price_of, read_stripe
from billing.catalog_stripe_diff import compare_stripe
from billing.catalog_tables import (
    find_project,
    read_project,
    read_rows,
    write_project,
    write_row,
    write_rows,
)
from billing.models import MeterLink, Operation, OperationKind, OperationState
from billing.models.operations import OPEN_STATES
from billing.operations import Kind, OperationPending, find_by_mark, register, run_operation, want
from billing.promotions.offers import refresh
from config.errors import Unavailable
from keystore.models import Project

ROUNDS = 6  # each makes what the next one refers to


class PushUnfinished(Unavailable):
    """Stripe did not take everything; pushing again goes on from here."""

    code = "catalog_push_unfinished"


@dataclass(frozen=True)
class PushReport:
    """What a push changed."""

    changes: list[Change]


def diff(*, project: ProjectSpec) -> list[Change]:
    """What `push` would do. Raises CatalogMistake, StripeUnavailable."""
    stripe = read_stripe()
    row = find_project(project.slug)
    rows = read_rows(row) if row else []
    _require_adopted(project, stripe)
    choices = choose_prices(project, rows, stripe)
    return [
        *compare_tables(project, read_project(row) if row else None),
        *compare_stripe(project, row.pk if row else None, rows, stripe),
        *compare_rows(wanted_rows(choices), rows),
        *compare_coupons(project, row),
    ]


def push(*, project: ProjectSpec, actor: str, clock: Callable[[], datetime]) -> PushReport:
    """File -> tables -> Stripe. A second push does nothing.

    Raises CatalogMistake and PushUnfinished; what was done by then stays and is found again.
    """
    changes = push_tables(project=project, actor=actor, at=clock())
    row = Project.objects.get(slug=project.slug)
    for _ in range(ROUNDS):
        stripe = read_stripe()
        _require_adopted(project, stripe)
        link_meters(row, stripe)
        wanted = wanted_rows(choose_prices(project, read_rows(row), stripe))
        left = compare_stripe(project, row.pk, read_rows(row), stripe)
        if not left:
            changes += compare_rows(wanted, read_rows(row))
            write_rows(row, wanted, archive_others=True)
            changes += push_coupons(project=project, row=row, actor=actor, clock=clock)
            return PushReport(changes)
        # What is on sale already becomes known before its predecessor is archived.
        write_rows(row, wanted, archive_others=False)
        ready = [change for change in left if change.wish]
        for change in ready:
            _carry_out(row, change, actor, clock())
        changes += ready
    raise PushUnfinished("Not settled: " + "; ".join(str(change) for change in left))


def push_tables(*, project: ProjectSpec, actor: str, at: datetime) -> list[Change]:
    """The part of a push that needs no Stripe: everything but prices."""
    row = find_project(project.slug)
    changes = compare_tables(project, read_project(row) if row else None)
    if changes:
        write_project(project, actor=actor, at=at)
    return changes


def push_known_prices(*, project: ProjectSpec) -> None:
    """Write the prices that the file names by `stripe_id`, unseen: for when Stripe is away."""
    row = Project.objects.get(slug=project.slug)
    known = {one.stripe_id for one in read_rows(row)}
    rows = [
        PriceRow(plan.code, price.stripe_id, "", price.terms, True, price.trial_days)
        for plan in project.plans
        for price in plan.prices
        if price.stripe_id and price.stripe_id not in known
    ]
    write_rows(row, rows, archive_others=False)


def _require_adopted(project: ProjectSpec, stripe: StripeState) -> None:
    for plan in project.plans:
        for price in plan.prices:
            found = stripe.prices.get(price.stripe_id)
            if price.is_adopted and (found is None or found.terms is None):
                raise CatalogMistake(
                    f"{price.stripe_id} of plan {plan.code!r} is not a per-unit or metered price "
                    "of this Stripe account: check the id and whether the key is of the same mode."
                )


def _carry_out(project: Project, change: Change, actor: str, at: datetime) -> None:
    assert change.wish is not None
    operation = _operation(project, change.wish, actor, at)
    run_operation(operation=operation, at=at)
    if operation.state == OperationState.FAILED:
        raise CatalogMistake(f"Stripe refused to {change.act} {change.what}: {operation.error}")
    if operation.state != OperationState.DONE:
        raise PushUnfinished(
            f"Stripe did not answer to {change.act} {change.what}: {operation.error} Push again."
        )


def _operation(project: Project, wish: Wish, actor: str, at: datetime) -> Operation:
    """A new operation, or the unfinished one that an earlier push left."""
    try:
        return want(
            project=project,
            kind=wish.kind,
            path=wish.path,
            params=wish.params,
            subject=wish.subject,
            actor=actor,
            at=at,
        )
    except OperationPending:
        return Operation.objects.get(kind=wish.kind, subject=wish.subject, state__in=OPEN_STATES)


# --- Pull --------------------------------------------------------------------------------------


def pull(*, project: Project, at: datetime) -> tuple[ProjectSpec, list[Change]]:
    """Stripe -> tables: prices made, archived or restored in the dashboard.

    A new price is ours when its metadata names latchkey_project and latchkey_plan. Returns what
    the file should say now. An id that Stripe does not list is left alone.
    """
    stripe = read_stripe()
    link_meters(project, stripe)
    for coupon in project.coupons.filter(withdrawn_at=None, problem=""):
        refresh(coupon=coupon, at=at)
    rows = read_rows(project)
    plans = {plan.code for plan in project.plans.all()}
    wanted = []
    for price in stripe.prices.values():
        known = next((row for row in rows if row.stripe_id == price.stripe_id), None)
        marked = marked_row(price)
        is_ours = price.metadata.get("latchkey_project") == project.slug
        if known is not None and price.terms is not None:
            wanted.append(
                replace(
                    known,
                    terms=price.terms,
                    product_id=price.product_id,
                    active=price.active,
                    tax_behavior=price.tax_behavior,
                )
            )
        elif marked is not None and is_ours and marked.plan in plans:
            wanted.append(marked)
    seen = {row.stripe_id for row in wanted}
    changes = compare_rows(wanted, [row for row in rows if row.stripe_id in seen])
    if changes:
        write_rows(project, wanted, archive_others=False)
    return _as_file(project, stripe), changes


def _as_file(project: Project, stripe: StripeState) -> ProjectSpec:
    spec = read_project(project)
    rows = [row for row in read_rows(project) if row.active]
    plans = []
    for plan in spec.plans:
        prices = tuple(
            PriceSpec(
                _lookup_key(row, stripe),
                row.terms,
                row.stripe_id,
                trial_days=row.trial_days or 0,
                tax_behavior=row.tax_behavior,
            )
            for row in rows
            if row.plan == plan.code
        )
        plans.append(replace(plan, prices=prices, tax_code=_tax_code(plan.code, rows, stripe)))
    return replace(spec, plans=tuple(plans))


def _tax_code(plan: str, rows: list[PriceRow], stripe: StripeState) -> str:
    """The products of a plan say it; nothing of ours does."""
    homes = [stripe.products.get(row.product_id) for row in rows if row.plan == plan]
    return next((one.tax_code for one in homes if one and one.tax_code), "")


def _lookup_key(row: PriceRow, stripe: StripeState) -> str:
    """The name that the price has at Stripe; one without becomes known by its id."""
    found = stripe.prices.get(row.stripe_id)
    return (found.lookup_key if found else "") or row.stripe_id


# --- What follows when a write to Stripe is settled ----------------------------------------------


def settle_price(operation: Operation, found: gateway.Object) -> None:
    """A price that was made is on sale, also when the push that wanted it is gone."""
    links = MeterLink.objects.filter(project=operation.project)
    meters = dict(links.values_list("stripe_meter_id", "event_name"))
    row = marked_row(price_of(found, meters))
    if row is not None:
        write_row(operation.project, row)


def _settle_nothing(operation: Operation, found: gateway.Object) -> None:
    """The next look at Stripe shows it."""


def _fail_nothing(operation: Operation, problem: str) -> None:
    """The push says so, and the next diff shows it again."""


def _find_by_id(collection: str) -> Callable[[Operation], gateway.Object | None]:
    def find(operation: Operation) -> gateway.Object | None:
        try:
            found = gateway.read(f"/v1/{collection}/{operation.subject}")
        except gateway.StripeMissing:
            return None
        mark = (found.get("metadata") or {}).get("operation_id")
        return found if mark == operation.public_id else None

    return find


def _find_feature(operation: Operation) -> gateway.Object | None:
    key = operation.params["lookup_key"]
    found = gateway.read_all("/v1/entitlements/features", lookup_key=key)
    return found[0] if found else None


def _find_attached(operation: Operation) -> gateway.Object | None:
    for found in gateway.read_all(operation.path):
        if found["entitlement_feature"]["id"] == operation.params["entitlement_feature"]:
            return found
    return None


def install() -> None:
    """Tell `billing.operations` what the catalogue's kinds need; called once at start."""
    finders = {
        OperationKind.CREATE_PRODUCT: _find_by_id("products"),
        OperationKind.UPDATE_PRODUCT: _find_by_id("products"),
        OperationKind.CREATE_PRICE: lambda operation: find_by_mark("/v1/prices", operation),
        OperationKind.UPDATE_PRICE: _find_by_id("prices"),
        OperationKind.CREATE_FEATURE: _find_feature,
        OperationKind.ATTACH_FEATURE: _find_attached,
    }
    for kind, find in finders.items():
        is_price = kind in (OperationKind.CREATE_PRICE, OperationKind.UPDATE_PRICE)
        settle = settle_price if is_price else _settle_nothing
        register(kind, Kind(settle=settle, fail=_fail_nothing, find=find))
    for kind in (OperationKind.CREATE_METER, OperationKind.UPDATE_METER):
        register(kind, Kind(settle=settle_meter, fail=_fail_nothing, find=find_meter))
