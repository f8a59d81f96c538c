"""The form for a card, and how it is read: a number, or one of the test cards by a button."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sandbox.engine import cards
from sandbox.errors import StripeError, card_error
from sandbox.pages.layout import Html, join, render
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

QUICK = (
    ("4242424242424242", "Succeeds"),
    ("4000000000000002", "Declined"),
    ("4000000000009995", "Insufficient funds"),
    ("4000002760003184", "Needs authentication"),
)
EXPIRY = re.compile(r"\s*(\d{1,2})\s*/\s*(\d{2}|\d{4})\s*\Z")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
LONGEST = 200


def email_field(email: str) -> Html:
    return render(
        '<div class="field"><label for="email">E-mail</label><input id="email" name="email" '
        'type="email" autocomplete="email" maxlength="200" required value="{email}"></div>',
        email=email,
    )


def card_fields(form: dict[str, str]) -> Html:
    """What the buyer typed stays, except the number and the code of the card."""
    return render(
        '<div class="field"><label for="number">Card number</label><input id="number" '
        'name="number" inputmode="numeric" autocomplete="cc-number" maxlength="24" '
        'placeholder="4242 4242 4242 4242" required></div>'
        '<div class="fields"><div class="field"><label for="expiry">Expiry (MM / YY)</label>'
        '<input id="expiry" name="expiry" inputmode="numeric" autocomplete="cc-exp" '
        'maxlength="9" placeholder="12 / 34" required value="{expiry}"></div>'
        '<div class="field"><label for="cvc">CVC</label><input id="cvc" name="cvc" '
        'inputmode="numeric" autocomplete="cc-csc" maxlength="4" placeholder="123" required>'
        "</div></div>"
        '<div class="field"><label for="name">Name on card</label><input id="name" name="name" '
        'autocomplete="cc-name" maxlength="200" required value="{name}"></div>',
        expiry=form.get("expiry", ""),
        name=form.get("name", ""),
    )


def quick_buttons() -> Html:
    """Test cards at one press; they need no field of the card filled in."""
    buttons = join(
        render(
            '<button name="card" value="{number}" formnovalidate>{words}<code>{spaced}</code>'
            "</button>",
            number=number,
            words=words,
            spaced=" ".join(number[at : at + 4] for at in range(0, 16, 4)),
        )
        for number, words in QUICK
    )
    return render(
        '<div class="quick"><h2>Or use a test card</h2><div class="buttons">{buttons}</div></div>',
        buttons=buttons,
    )


def read_email(form: dict[str, str]) -> str:
    email = form.get("email", "").strip()
    if not EMAIL.match(email) or len(email) > LONGEST:
        raise StripeError(400, "Enter your e-mail address.", code="email_invalid", param="email")
    return email


def read_card(sandbox: Sandbox, form: dict[str, str], *, email: str | None) -> Object:
    """A payment method that belongs to nobody yet; raises what the card form says in red."""
    name = form.get("name", "").strip()[:LONGEST] or None
    billing = {"email": email, "name": name}
    if form.get("card"):
        return cards.make_payment_method(sandbox, form["card"][:24], billing_details=billing)
    month, year = _expiry(sandbox, form.get("expiry", ""))
    cvc = form.get("cvc", "").strip()
    if not (cvc.isascii() and cvc.isdigit() and len(cvc) in (3, 4)):
        raise card_error("Your card's security code is incomplete.", "invalid_cvc", None)
    number = re.sub(r"\D", "", form.get("number", ""), flags=re.ASCII)
    if not number:
        raise card_error("Your card number is incomplete.", "incomplete_number", None)
    return cards.make_payment_method(
        sandbox, number, billing_details=billing, exp_month=month, exp_year=year
    )


def _expiry(sandbox: Sandbox, text: str) -> tuple[int, int]:
    found = EXPIRY.match(text)
    if found is None or not 1 <= int(found[1]) <= 12:
        raise card_error("Enter the expiry date as MM / YY.", "invalid_expiry_month", None)
    month, year = int(found[1]), int(found[2])
    year += 2000 if year < 100 else 0
    today = datetime.fromtimestamp(sandbox.now(), UTC)
    if (year, month) < (today.year, today.month):
        raise card_error("Your card's expiry date is in the past.", "invalid_expiry_year", None)
    return month, year
