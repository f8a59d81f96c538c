"""Customers: whom the account bills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox import generic
from sandbox.engine import tax
from sandbox.lists import list_of, paginate
from sandbox.registry import Call, expands, on
from sandbox.store import Object, random_text

if TYPE_CHECKING:
    from sandbox.world import Sandbox


@on("POST /v1/customers")
def create_customer(call: Call) -> Object:
    call.given("test_helpers.test_clock", "test_clock")
    asked = call.params.pop("tax", None) or {}
    if asked.get("validate_location") == "immediately" and tax.location_of(call.params) is None:
        raise tax.invalid_location("address")
    settings = {
        "custom_fields": None, "default_payment_method": None, "footer": None,
        "rendering_options": None, **(call.params.get("invoice_settings") or {}),
    }  # fmt: skip
    customer = generic.new(
        call.sandbox,
        "customer",
        call.params,
        balance=call.params.get("balance", 0),
        invoice_settings=settings,
        invoice_prefix=random_text(8).upper(),
        next_invoice_sequence=1,
        preferred_locales=call.params.get("preferred_locales") or [],
        tax_exempt=call.params.get("tax_exempt") or "none",
        delinquent=False,
        test_clock=call.params.get("test_clock"),
    )
    customer["created"] = call.sandbox.now(customer)
    call.store.put(customer)
    call.sandbox.emit("customer.created", customer)
    return customer


@on("POST /v1/customers/{customer}")
def update_customer(call: Call) -> Object:
    customer = call.store.get("customer", call.id)
    _check_location(call, customer)
    wanted = call.params.pop("invoice_settings", None)
    if not wanted:
        return generic.update(call, "customer")
    settings = {**customer["invoice_settings"], **wanted}
    settings = {name: value or None for name, value in settings.items()}
    if settings["default_payment_method"]:
        call.store.get("payment_method", settings["default_payment_method"], status=400)
    return generic.update(call, "customer", invoice_settings=settings)


def _check_location(call: Call, customer: Object) -> None:
    """At once if the caller asks, and by itself while a subscription counts its tax."""
    when = (call.params.pop("tax", None) or {}).get("validate_location", "auto")
    has_tax = any(
        one["customer"] == customer["id"] and one["automatic_tax"]["enabled"]
        for one in call.store.all("subscription")
        if one["status"] not in ("canceled", "incomplete_expired")
    )
    if when == "deferred" or (when == "auto" and not has_tax) or "address" not in call.params:
        return
    if tax.location_of({**customer, "address": call.params["address"] or {}}) is None:
        raise tax.invalid_location("address")


@expands("customer", "sources")
def sources_of(sandbox: Sandbox, customer: Object) -> Object:
    """Cards are payment methods now; no customer has sources."""
    return list_of([], url=f"/v1/customers/{customer['id']}/sources")


@expands("customer", "subscriptions")
def subscriptions_of(sandbox: Sandbox, customer: Object) -> Object:
    ended = ("canceled", "incomplete_expired")
    live = [
        item
        for item in sandbox.store.newest_first("subscription")
        if item["customer"] == customer["id"] and item["status"] not in ended
    ]
    url = f"/v1/customers/{customer['id']}/subscriptions"
    return paginate(live, {}, url=url)
