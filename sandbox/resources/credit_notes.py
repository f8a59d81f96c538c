"""Credit notes on invoices; reading and listing them is like with every resource."""

from sandbox.engine import credit_notes
from sandbox.errors import invalid
from sandbox.lists import paginate
from sandbox.registry import Call, on
from sandbox.store import Object


@on("POST /v1/credit_notes")
def create_credit_note(call: Call) -> Object:
    return credit_notes.create_credit_note(call.sandbox, _invoice(call), call.params)


@on("GET /v1/credit_notes/preview")
def preview_credit_note(call: Call) -> Object:
    return credit_notes.draft_credit_note(call.sandbox, _invoice(call), call.params)


@on("GET /v1/credit_notes/{id}/lines")
def list_lines(call: Call) -> Object:
    note = call.store.get("credit_note", call.id)
    return paginate(note["lines"]["data"], call.params, url=call.path)


@on("POST /v1/credit_notes/{id}/void")
def void_credit_note(call: Call) -> Object:
    return credit_notes.void_credit_note(call.sandbox, call.store.get("credit_note", call.id))


def _invoice(call: Call) -> Object:
    invoice = call.given("invoice", "invoice")
    if invoice is None:
        raise invalid("Missing required param: invoice.", param="invoice")
    return invoice
