"""A customer's tax ids and what Stripe Tax says of where they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.engine import tax
from sandbox.engine.tax_table import REFUSED, SILENT, TAX_IDS
from sandbox.errors import StripeError, missing
from sandbox.lists import list_of, paginate
from sandbox.registry import Call, expands, on
from sandbox.shapes import blank, copy
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

MOST = 5


@on("POST /v1/customers/{customer}/tax_ids")
def create_tax_id(call: Call) -> Object:
    customer = call.store.get("customer", call.id, param="customer")
    kind, value = call.params["type"], call.params["value"].strip()
    return add_tax_id(call.sandbox, customer, kind, value)


def add_tax_id(sandbox: Sandbox, customer: Object, kind: str, value: str) -> Object:
    pattern, country = TAX_IDS.get(kind, (r".{3,30}", kind[:2].upper()))
    if not re.fullmatch(pattern, value):
        message = f"Invalid value for {kind}."
        raise StripeError(400, message, code="tax_id_invalid", param="value")
    if len(tax.ids_of(sandbox, customer["id"])) >= MOST:
        raise StripeError(400, f"A customer can have up to {MOST} tax ids.", param="customer")
    made = blank("tax_id")
    made.update(
        id=new_id("tax_id"),
        country=country or {"EL": "GR", "XI": "GB"}.get(value[:2], value[:2]),
        created=sandbox.now(),
        customer=customer["id"],
        owner={
            "type": "customer",
            "customer": customer["id"],
            "account": None,
            "application": None,
            "customer_account": None,
        },
        type=kind,
        value=value,
        verification={"status": "pending", "verified_address": None, "verified_name": None},
    )
    sandbox.store.put(made)
    sandbox.emit("customer.tax_id.created", copy(made))
    _verify(sandbox, made)
    return made


def _verify(sandbox: Sandbox, made: Object) -> None:
    """The authority answers at once; only some ids are ever looked up."""
    status = "verified" if made["type"] in ("eu_vat", "gb_vat", "au_abn") else "unavailable"
    if REFUSED in made["value"]:
        status = "unverified"
    if SILENT not in made["value"]:
        with sandbox.changing(made, "customer.tax_id.updated"):
            made["verification"]["status"] = status


@on("GET /v1/customers/{customer}/tax_ids")
def list_tax_ids(call: Call) -> Object:
    call.store.get("customer", call.id, param="customer")
    return paginate(tax.ids_of(call.sandbox, call.id), call.params, url=call.path)


@on("GET /v1/customers/{customer}/tax_ids/{id}")
def retrieve_tax_id(call: Call) -> Object:
    return _own(call)


@on("DELETE /v1/customers/{customer}/tax_ids/{id}")
def delete_tax_id(call: Call) -> Object:
    held = _own(call)
    stub = call.store.remove(held)
    call.sandbox.emit("customer.tax_id.deleted", held)
    return stub


def _own(call: Call) -> Object:
    held = call.store.get("tax_id", call.ids[1])
    if held["customer"] != call.id:
        raise missing("tax_id", call.ids[1])
    return held


@expands("customer", "tax_ids")
def tax_ids_of(sandbox: Sandbox, customer: Object) -> Object:
    url = f"/v1/customers/{customer['id']}/tax_ids"
    return list_of(tax.ids_of(sandbox, customer["id"]), url=url)


@expands("customer", "tax")
def tax_of(sandbox: Sandbox, customer: Object) -> Object:
    where = tax.location_of(customer)
    made: Object = {
        "automatic_tax": "supported" if where else "unrecognized_location",
        "ip_address": None,
        "location": None,
        "provider": "stripe",
    }
    if where:
        source = "shipping_destination" if customer["shipping"] else "billing_address"
        made["location"] = {"country": where[0], "state": where[1] or None, "source": source}
    return made
