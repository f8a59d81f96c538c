"""Where the buyer is, and their tax id: fields of the Checkout page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine import checkout
from sandbox.errors import invalid
from sandbox.pages.layout import Html, join, render
from sandbox.resources.tax import add_tax_id
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

FIELDS = (
    ("line1", "Address", "address-line1"),
    ("city", "City", "address-level2"),
    ("postal_code", "Postal code", "postal-code"),
    ("state", "State", "address-level1"),
    ("country", "Country (two letters)", "country"),
)
ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def buyer_fields(session: Object, form: dict[str, str]) -> Html:
    fields = []
    if checkout.asks_address(session):
        fields = [_field(name, words, hint, form) for name, words, hint in FIELDS]
    if session["tax_id_collection"] and session["tax_id_collection"]["enabled"]:
        fields.append(_field("tax_id", "Tax id of your business (EU VAT)", "off", form))
    return join(fields)


def _field(name: str, words: str, hint: str, form: dict[str, str]) -> Html:
    return render(
        '<div class="field"><label for="{name}">{words}</label><input id="{name}" name="{name}" '
        'autocomplete="{hint}" maxlength="100" value="{value}"></div>',
        name=name,
        words=words,
        hint=hint,
        value=form.get(name, ""),
    )


def read_address(form: dict[str, str]) -> dict[str, str | None]:
    typed = {name: form.get(name, "").strip()[:100] or None for name in ADDRESS}
    return {**typed, "country": (typed["country"] or "").upper() or None}


def take_tax_id(sandbox: Sandbox, session: Object, form: dict[str, str]) -> None:
    value = form.get("tax_id", "").strip().upper()
    if not value or not (session["tax_id_collection"] or {}).get("enabled"):
        return
    customer = sandbox.store.find(session["customer"])
    if customer is None:
        raise invalid("The sandbox keeps a tax id only for a known customer.")
    add_tax_id(sandbox, customer, "eu_vat", value)
    checkout.count_again(sandbox, session)
