"""Credit notes on invoices; reading and listing them is like with every resource."""

from sandbox.engine import credit_notes
from sandbox.errors import invalid
from sandbox.registry import Call, on
from sandbox.store import Object


@on("POST /v1/credit_notes")
def create_credit_note(call: Call) -> Object:
    invoice = call.given("invoice", "invoice")
    if invoice is None:
        raise invalid("Missing required param: invoice.", param="invoice")
    return credit_notes.create_credit_note(call.sandbox, invoice, call.params)


@on("POST /v1/credit_notes/{id}/void")
def void_credit_note(call: Call) -> Object:
    return credit_notes.void_credit_note(call.sandbox, call.store.get("credit_note", call.id))
