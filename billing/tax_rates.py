"""Rates of tax on invoices written by hand: read at Stripe by their id, or made there by name."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing import gateway
from billing.gateway import Object
from billing.models import Operation, OperationKind, TaxRate
from billing.models.operations import OPEN_STATES
from billing.operations import want
from config.errors import InvalidInput
from keystore.models import Project

Tax = dict[str, Any]  # {"name", "percentage": "20", "inclusive", "tax_rate_id" where Stripe's}


def named_tax(*, name: str, percentage: Decimal, inclusive: bool) -> Tax:
    return {"name": name, "percentage": _plain(percentage), "inclusive": inclusive}


def tax_at_stripe(stripe_id: str) -> Tax:
    """A rate that Stripe has already. Raises InvalidInput for one it lacks or has archived."""
    try:
        found = gateway.read(f"/v1/tax_rates/{stripe_id}")
    except gateway.StripeMissing as missing:
        raise InvalidInput(f"Stripe has no tax rate {stripe_id}.") from missing
    if not found["active"]:
        raise InvalidInput(f"The tax rate {stripe_id} is archived: choose another one.")
    tax = named_tax(
        name=found["display_name"],
        percentage=Decimal(str(found["percentage"])),
        inclusive=found["inclusive"],
    )
    return {**tax, "tax_rate_id": stripe_id}


def _plain(percentage: Decimal) -> str:
    return f"{percentage.normalize():f}"


def rate_of(project: Project, tax: Tax) -> TaxRate:
    """Our row of a rate that was named; made when it is met for the first time."""
    row, _ = TaxRate.objects.get_or_create(
        project=project,
        name=tax["name"],
        percentage=Decimal(tax["percentage"]),
        inclusive=tax["inclusive"],
    )
    return row


def stripe_id_of(project: Project, tax: Tax) -> str:
    """ "" while Stripe has not got it."""
    return tax.get("tax_rate_id") or rate_of(project, tax).stripe_tax_rate_id


def want_lacking_rate(
    *, project: Project, taxes: Iterable[Tax], actor: str, at: datetime
) -> Operation | None:
    """The call that makes the first rate that Stripe lacks; None when it has them all. Another
    invoice may wait for the same call.
    """
    for tax in taxes:
        if stripe_id_of(project, tax):
            continue
        row = rate_of(project, tax)
        row = TaxRate.objects.select_for_update(of=("self",), no_key=True).get(pk=row.pk)
        if row.stripe_tax_rate_id:
            continue
        if row.operation is None or row.operation.state not in OPEN_STATES:
            row.operation = _want(row, actor, at)
            row.save(update_fields=["operation"])
        return row.operation
    return None


def _want(row: TaxRate, actor: str, at: datetime) -> Operation:
    return want(
        project=row.project,
        kind=OperationKind.CREATE_TAX_RATE,
        path="/v1/tax_rates",
        params={
            "display_name": row.name,
            "percentage": _plain(row.percentage),
            "inclusive": row.inclusive,
        },
        subject=f"tax-rate:{row.pk}",
        actor=actor,
        at=at,
    )


def settle_rate(operation: Operation, found: Object) -> None:
    TaxRate.objects.filter(operation=operation).update(stripe_tax_rate_id=found["id"])


def names_of(*, project: Project, stripe_ids: Iterable[str]) -> dict[str, TaxRate]:
    """The rates that were made here, by Stripe's id."""
    rows = TaxRate.objects.filter(project=project, stripe_tax_rate_id__in=list(stripe_ids))
    return {row.stripe_tax_rate_id: row for row in rows.exclude(stripe_tax_rate_id="")}
