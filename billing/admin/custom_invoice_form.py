"""The page on which an invoice is written: its lines, terms and taxes, and what it comes to."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from billing import gateway
from billing.custom_invoices import MOST_LINES, InvoiceWish
from billing.custom_text import cells_of, line_of, lines_in, taxes_in, text_of, words_of
from billing.custom_totals import totals_of
from billing.models import CustomInvoice, Price
from billing.money import shown
from billing.tax import is_counted
from billing.tax_rates import Tax, tax_at_stripe
from config.clock import now
from config.errors import DomainError, InvalidInput
from keystore.admin.dialogs import LONGEST_REASON
from keystore.models import Consumer

COLUMNS = ("words", "many", "each", "tax")
ROWS = 4  # shown empty
MOST_ROWS = 40  # beyond it they are text
STRIPE_SECONDS = 8.0


def _text(label: str, longest: int, *, required: bool = False, help_text: str = "") -> Any:
    return forms.CharField(
        label=label,
        max_length=longest,
        required=required,
        help_text=help_text,
        widget=UnfoldAdminTextInputWidget,
    )


class InvoiceForm(forms.Form):
    """`previewing` demands no reason yet. The rows of lines come beside the fields."""

    consumer = _text(
        "Consumer", 255, required=True, help_text="Their con_ id, or their own id if it is unique."
    )
    currency = _text("Currency", 3, required=True, help_text="Like usd.")
    days_until_due = forms.IntegerField(
        label="Days until due",
        min_value=0,
        max_value=365,
        initial=30,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    pasted = forms.CharField(
        label="More lines",
        required=False,
        max_length=200_000,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="One per row: words, quantity, price, tax. Paste from a spreadsheet, or write | "
        f"between. Up to {MOST_LINES} in all.",
    )
    invoice_tax = _text(
        "Tax",
        200,
        help_text="For all lines without their own: VAT 19, VAT 19 inclusive, or txr_...; several "
        "with commas. Empty: none.",
    )
    automatic_tax = forms.BooleanField(
        label="Let Stripe Tax find the taxes", required=False, widget=UnfoldBooleanWidget
    )
    po_number = _text("PO number", 140)
    memo = _text("Memo", 500, help_text="Printed on the invoice.")
    footer = _text("Footer", 1000)
    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Kept in the audit trail; the customer does not see it.",
    )
    wish = forms.CharField(widget=forms.HiddenInput, max_length=60)

    def __init__(
        self,
        *args: Any,
        row: CustomInvoice | None = None,
        consumer: Consumer | None = None,
        previewing: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.row = row
        self.named = row.consumer if row else consumer
        self.lines: list[dict[str, Any]] = []
        self.fields["reason"].required = not previewing
        self.fields["wish"].initial = f"admin:{uuid.uuid4()}"
        if self.named is not None:
            self.fields["consumer"].initial = self.named.public_id
            self.fields["automatic_tax"].initial = is_counted(self.named.project)
        if row is not None:
            self._fill(row)

    def _fill(self, row: CustomInvoice) -> None:
        self.fields["consumer"].disabled = True
        names = ("currency", "days_until_due", "automatic_tax", "po_number", "memo", "footer")
        for name in names:
            self.fields[name].initial = getattr(row, name)
        if len(row.lines) > MOST_ROWS:
            self.fields["pasted"].initial = text_of(row.lines, row.currency)

    def rows(self) -> list[list[str]]:
        """What the rows of lines hold, empty ones at the end."""
        if self.is_bound:
            found = list(self._sent())
        elif self.row is not None and len(self.row.lines) <= MOST_ROWS:
            found = [cells_of(line, self.row.currency) for line in self.row.lines]
        else:
            found = []
        return found + [[""] * len(COLUMNS) for _ in range(max(ROWS - len(found), 1))]

    def _sent(self) -> Iterator[list[str]]:
        columns = [self.data.getlist(name) for name in COLUMNS]  # type: ignore[attr-defined]
        for cells in zip(*columns, strict=False):
            if any(cell.strip() for cell in cells):
                yield [cell.strip()[:300] for cell in cells]

    def clean_consumer(self) -> Consumer:
        if self.row is not None:
            return self.row.consumer
        text = self.cleaned_data["consumer"]
        rows = Consumer.objects.select_related("project")
        found = list(rows.filter(public_id=text) or rows.filter(external_id=text)[:2])
        if len(found) != 1:
            raise ValidationError(
                "Several projects have this user: give the con_ id."
                if found
                else "There is no such consumer."
            )
        return found[0]

    def clean_currency(self) -> str:
        text = str(self.cleaned_data["currency"]).lower()
        if not (text.isascii() and text.isalpha() and len(text) == 3):
            raise ValidationError("Write three letters, like usd.")
        return text

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if "currency" in given:
            try:
                self.lines = self._lines(given)
            except DomainError as problem:
                raise ValidationError(problem.message) from problem
        return given

    def _lines(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        """Every line with the taxes that hold for it."""
        lines = [line_of(cells, given["currency"]) for cells in self._sent()]
        lines += lines_in(given.get("pasted", ""), given["currency"])
        if not lines:
            raise InvalidInput("An invoice has at least one line.")
        if len(lines) > MOST_LINES:
            raise InvalidInput(f"An invoice has up to {MOST_LINES} lines; these are {len(lines)}.")
        common = taxes_in(given.get("invoice_tax", ""))
        read: dict[str, Tax] = {}
        with gateway.deadline(STRIPE_SECONDS):
            return [_taxed(line, line.get("taxes") or common, read) for line in lines]

    @property
    def asked(self) -> InvoiceWish:
        given = self.cleaned_data
        names = ("currency", "days_until_due", "memo", "footer", "po_number", "automatic_tax")
        return InvoiceWish(
            lines=self.lines,
            key=given["wish"],
            **{name: given[name] for name in names},
        )

    def sums(self) -> list[tuple[str, str]]:
        """What it comes to, in words; empty while there are no lines to count."""
        if not self.is_bound or not self.lines:
            return []
        currency = self.cleaned_data["currency"]
        totals = totals_of(self._priced())
        sums = [("Lines", str(len(self.lines)))]
        sums.append(("Subtotal", shown(totals.subtotal_minor, currency)))
        for tax in totals.taxes:
            name = f"{tax.name} {tax.percentage} %{' inside' if tax.inclusive else ''}"
            sums.append((name, shown(tax.amount_minor, currency)))
        if self.cleaned_data.get("automatic_tax"):
            sums.append(("Tax", "found by Stripe Tax when it is drafted"))
        sums.append(("Total", shown(totals.total_minor, currency)))
        due = now() + timedelta(days=self.cleaned_data.get("days_until_due") or 0)
        sums.append(("Due", f"{due:%Y-%m-%d}, if it is sent today"))
        return sums

    def _priced(self) -> Iterator[dict[str, Any]]:
        ids = [line["price_id"] for line in self.lines if "price_id" in line]
        consumer = self.cleaned_data.get("consumer")
        prices = Price.objects.filter(stripe_price_id__in=ids)
        prices = prices.filter(project=consumer.project_id) if consumer else prices.none()
        known = dict(prices.values_list("stripe_price_id", "amount_minor"))
        for line in self.lines:
            yield {"unit_amount_minor": known.get(line.get("price_id", ""), 0), **line}


def _taxed(line: dict[str, Any], taxes: list[Tax], read: dict[str, Tax]) -> dict[str, Any]:
    found = []
    for tax in taxes:
        stripe_id = tax.get("tax_rate_id")
        if stripe_id and stripe_id not in read:
            read[stripe_id] = tax_at_stripe(stripe_id)
        found.append(read[stripe_id] if stripe_id else tax)
    return {**line, "taxes": found} if found else line


def taxes_shown(line: dict[str, Any]) -> str:
    return words_of({**tax, "tax_rate_id": ""} for tax in line.get("taxes") or [])
