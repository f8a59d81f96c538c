"""The catalogue's meters: in our tables, and the ones at Stripe that they are reported to."""

from collections.abc import Iterable
from typing import Any

from billing import gateway
from billing.catalog_diff import Change, StripeMeter, StripeState, Wish
from billing.catalog_places import CatalogMistake
from billing.catalog_spec import MeterSpec, ProjectSpec
from billing.catalog_usage import FORMULAS, meter_params
from billing.models import MeterLink, Operation, OperationKind
from keystore.locking import upsert
from keystore.models import Project
from metering.models import Aggregation, Meter, UsageTotal

PATH = "/v1/billing/meters"


# --- Our tables ----------------------------------------------------------------------------------


def read_meters(project: Project) -> tuple[MeterSpec, ...]:
    rows = project.meters.filter(archived_at=None).select_related("feature").order_by("pk")
    return tuple(
        MeterSpec(
            code=row.code,
            name=row.name,
            unit=row.unit,
            aggregation=row.aggregation,
            value_property=row.value_property,
            feature=row.feature.code if row.feature else "",
            dimensions=tuple(row.dimensions),
            thresholds=tuple(row.thresholds),
            stripe_event_name=row.stripe_event_name,
        )
        for row in rows
    )


def write_meters(project: Project, specs: Iterable[MeterSpec]) -> None:
    """Make the project's meters say what the file says; one that it does not name stays.

    Raises CatalogMistake for a meter that would count otherwise what it has counted already.
    """
    for spec in specs:
        known = project.meters.filter(code=spec.code).first()
        if known is not None:
            _refuse_recount(known, spec)
        upsert(
            Meter,
            project=project,
            code=spec.code,
            defaults={
                "name": spec.name,
                "unit": spec.unit,
                "aggregation": spec.aggregation,
                "value_property": spec.value_property,
                "feature": project.features.get(code=spec.feature) if spec.feature else None,
                "dimensions": list(spec.dimensions),
                "thresholds": list(spec.thresholds),
                "stripe_event_name": spec.stripe_event_name,
                "archived_at": None,
            },
        )


def _refuse_recount(known: Meter, spec: MeterSpec) -> None:
    same = (known.aggregation, known.value_property) == (spec.aggregation, spec.value_property)
    if not same and UsageTotal.objects.filter(project=known.project_id, meter=known).exists():
        raise CatalogMistake(
            f"The meter {known.code!r} has counted usage as {known.aggregation}: make a new meter "
            "for another aggregation or property."
        )


# --- Stripe --------------------------------------------------------------------------------------


def compare_meters(project: ProjectSpec, stripe: StripeState) -> list[Change]:
    """What push would do to Stripe's meters. Raises CatalogMistake for what cannot be mended."""
    changes = []
    for meter in project.meters:
        if meter.stripe_event_name:
            changes += _compare(meter, stripe.meters.get(meter.stripe_event_name))
    return changes


def _compare(meter: MeterSpec, found: StripeMeter | None) -> list[Change]:
    name = meter.stripe_event_name
    what = f"meter {name}"
    params = meter_params(meter)
    if found is None:
        wish = Wish(OperationKind.CREATE_METER, PATH, name, params)
        return [Change("stripe", "create", what, f"adds up by {found_formula(meter)}", wish)]
    if found.formula != found_formula(meter):
        raise CatalogMistake(
            f"Stripe's meter {name} ({found.stripe_id}) has the formula {found.formula}, and the "
            f"meter {meter.code!r} needs {found_formula(meter)}, which Stripe cannot change: "
            "choose another `stripe_event_name`."
        )
    if not found.active:
        return [_update(found, f"{PATH}/{found.stripe_id}/reactivate", "reactivate", {})]
    if found.display_name != params["display_name"]:
        title = {"display_name": params["display_name"]}
        return [_update(found, f"{PATH}/{found.stripe_id}", "rename", title)]
    return []


def found_formula(meter: MeterSpec) -> str:
    return FORMULAS[Aggregation(meter.aggregation)]


def _update(found: StripeMeter, path: str, act: str, params: dict[str, Any]) -> Change:
    wish = Wish(OperationKind.UPDATE_METER, path, found.stripe_id, params)
    return Change("stripe", act, f"meter {found.event_name}", "", wish)


def link_meters(project: Project, stripe: StripeState) -> None:
    """Remember which of Stripe's meters each of ours is reported to. Raises CatalogMistake."""
    for meter in project.meters.exclude(stripe_event_name=""):
        found = stripe.meters.get(meter.stripe_event_name)
        if found is not None and found.active:
            link_meter(meter, found.stripe_id)


def link_meter(meter: Meter, stripe_meter_id: str) -> None:
    taken = MeterLink.objects.filter(stripe_meter_id=stripe_meter_id).exclude(meter=meter).first()
    if taken is not None:
        raise CatalogMistake(
            f"The event name {meter.stripe_event_name} is that of the meter "
            f"{taken.meter.code!r} of {taken.project.slug}: choose another `stripe_event_name`."
        )
    upsert(
        MeterLink,
        meter=meter,
        defaults={
            "project": meter.project,
            "stripe_meter_id": stripe_meter_id,
            "event_name": meter.stripe_event_name,
        },
    )


def settle_meter(operation: Operation, found: gateway.Object) -> None:
    """A meter that was made is reported to, also when the push that wanted it is gone."""
    meters = operation.project.meters.filter(stripe_event_name=found["event_name"])
    for meter in meters.order_by("pk")[:1]:
        link_meter(meter, found["id"])


def find_meter(operation: Operation) -> gateway.Object | None:
    """The meter as an unanswered call left it; None if the call did not arrive."""
    if operation.kind == OperationKind.CREATE_METER:
        found = gateway.read_all(PATH, status="active")
        return next((one for one in found if one["event_name"] == operation.subject), None)
    meter = gateway.read(f"{PATH}/{operation.subject}")
    is_done = meter["status"] == "active" and all(
        meter[name] == value for name, value in operation.params.items()
    )
    return meter if is_done else None
