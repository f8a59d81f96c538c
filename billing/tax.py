"""Stripe Tax: what is asked of Stripe for a project that wants it, and what it lacks."""

from typing import Any

from billing import gateway
from billing.gateway import Object
from billing.models import BillingPolicy, TaxMode
from billing.refusals import location_needed
from keystore.models import Project

ON: dict[str, Any] = {"automatic_tax": {"enabled": True}}


def is_counted(project: Project) -> bool:
    """Whether Stripe Tax counts the tax of what the project sells from now on."""
    return BillingPolicy.objects.filter(project=project, tax=TaxMode.AUTOMATIC).exists()


def tax_params(project: Project) -> dict[str, Any]:
    """For subscriptions, invoices and their previews; {} where no tax is counted."""
    return dict(ON) if is_counted(project) else {}


def checkout_params(project: Project) -> dict[str, Any]:
    """For Stripe's page: the buyer gives address and tax id there, and the customer keeps them."""
    if not is_counted(project):
        return {}
    return {
        **ON,
        "tax_id_collection": {"enabled": True},
        "billing_address_collection": "required",
        "customer_update": {"address": "auto", "name": "auto"},
    }


def added_params(project: Project, found: Object) -> dict[str, Any]:
    """For the change of a subscription that began before the project wanted tax."""
    return {} if found["automatic_tax"]["enabled"] else tax_params(project)


def require_counted(invoice: Object) -> None:
    """Refuse what Stripe previews without its tax. Raises TaxLocationNeeded, StripeUnavailable."""
    told = invoice.get("automatic_tax") or {}
    if not told.get("enabled"):
        return
    if told["status"] == "requires_location_inputs":
        raise location_needed()
    if told["status"] == "failed":
        raise gateway.StripeUnavailable(
            "Stripe could not count the tax just now. Nothing was changed: try again in a moment."
        )
