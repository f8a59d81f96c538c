"""Small valid PDFs of invoices and credit notes, written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.money import plain
from sandbox.pages.layout import BANNER, day
from sandbox.store import Object

if TYPE_CHECKING:
    from sandbox.world import Sandbox

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 595, 842, 56, 539, 786, 70
LINE = 16
LONGEST_WORDS = 62
# Widths of Helvetica, in thousandths of the font size: enough to align amounts on the right.
WIDTHS = {",": 278, ".": 278, " ": 278, "-": 333, "m": 833, "t": 278}
SMALL, CAPITAL = 556, 700

Row = tuple[str, str, int, bool]  # words, amount on the right, size, bold


def invoice_pdf(sandbox: Sandbox, invoice: Object) -> bytes:
    rows = _rows(invoice)
    per_page = (TOP - BOTTOM) // LINE
    pages = [rows[at : at + per_page] for at in range(0, len(rows), per_page)]
    return _assemble([_content(page) for page in pages])


def credit_note_pdf(sandbox: Sandbox, note: Object) -> bytes:
    invoice = sandbox.store.get("invoice", note["invoice"])
    currency = note["currency"]
    who = f"Credited to: {invoice['customer_name'] or ''} {invoice['customer_email'] or ''}"
    gap: Row = ("", "", 11, False)
    rows: list[Row] = [
        (BANNER, "", 9, True),
        gap,
        (f"Credit note {note['number']}", "", 18, True),
        gap,
        (f"Date: {day(note['effective_at'])}", "", 11, False),
        (f"On invoice: {invoice['number']}", "", 11, False),
        (f"Status: {note['status']}", "", 11, False),
        (who, "", 11, False),
        gap,
    ]
    rows += [
        (one["description"] or "Item", _amount(one["amount"], currency), 11, False)
        for one in note["lines"]["data"]
    ]
    tax = sum(part["amount"] for part in note["total_taxes"] or [])
    rows += [("Tax", _amount(tax, currency), 11, False)] if tax else []
    return _assemble([_content([*rows, ("Credited", _amount(note["amount"], currency), 11, True)])])


def _rows(invoice: Object) -> list[Row]:
    currency = invoice["currency"]
    who = f"Bill to: {invoice['customer_name'] or ''} {invoice['customer_email'] or ''}"
    head: list[Row] = [
        (BANNER, "", 9, True),
        ("", "", 11, False),
        (f"Invoice {invoice['number'] or 'draft'}", "", 18, True),
        ("", "", 11, False),
        (f"Date: {day(invoice['effective_at'] or invoice['created'])}", "", 11, False),
        (f"Status: {invoice['status']}", "", 11, False),
        (who, "", 11, False),
        ("", "", 11, False),
        ("Description", "Amount", 11, True),
    ]
    lines: list[Row] = [
        (one["description"] or "Item", _amount(one["amount"], currency), 11, False)
        for one in invoice["lines"]["data"]
    ]
    return [*head, *lines, ("", "", 11, False), *_sums(invoice)]


def _sums(invoice: Object) -> list[Row]:
    discount = sum(part["amount"] for part in invoice["total_discount_amounts"] or [])
    tax = sum(part["amount"] for part in invoice["total_taxes"] or [])
    sums = [("Subtotal", invoice["subtotal"], True), ("Discount", -discount, bool(discount))]
    sums += [("Tax", tax, bool(tax)), ("Total", invoice["total"], True)]
    sums += [("Paid", invoice["amount_paid"], True), ("Due", invoice["amount_remaining"], True)]
    return [
        (words, _amount(amount, invoice["currency"]), 11, words in ("Total", "Due"))
        for words, amount, is_shown in sums
        if is_shown
    ]


def _amount(amount: int, currency: str) -> str:
    return f"{plain(amount, currency)} {currency.upper()}"


def _content(rows: list[Row]) -> bytes:
    parts = []
    for place, (words, amount, size, is_bold) in enumerate(rows):
        y, font = TOP - place * LINE, "F2" if is_bold else "F1"
        parts.append(_text(words[:LONGEST_WORDS], LEFT, y, font, size))
        if amount:
            parts.append(_text(amount, RIGHT - _width(amount, size), y, font, size))
    return b"\n".join(part for part in parts if part)


def _width(text: str, size: int) -> int:
    each = (WIDTHS.get(c, CAPITAL if c.isupper() else SMALL) for c in text)
    return sum(each) * size // 1000


def _text(text: str, x: int, y: int, font: str, size: int) -> bytes:
    """Windows-1252 is what the built-in fonts know; other letters become question marks."""
    if not text:
        return b""
    raw = text.encode("cp1252", "replace")
    for special in (b"\\", b"(", b")"):
        raw = raw.replace(special, b"\\" + special)
    raw = raw.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"BT /%s %d Tf %d %d Td (%s) Tj ET" % (font.encode(), size, x, y, raw)


def _assemble(contents: list[bytes]) -> bytes:
    """Objects 1 and 2 are catalog and page tree, 3 and 4 the fonts, then a pair per page."""
    kids = b" ".join(b"%d 0 R" % (5 + 2 * place) for place in range(len(contents)))
    font = b"<</Type/Font/Subtype/Type1/BaseFont/%s/Encoding/WinAnsiEncoding>>"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(contents)),
        font % b"Helvetica",
        font % b"Helvetica-Bold",
    ]
    for place, content in enumerate(contents):
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Contents %d 0 R"
            b"/Resources<</Font<</F1 3 0 R/F2 4 0 R>>>>>>" % (WIDTH, HEIGHT, 6 + 2 * place)
        )
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(content), content))
    return _with_index(objects)


def _with_index(objects: list[bytes]) -> bytes:
    """The cross-reference table says at which byte each object begins."""
    out, starts = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, item in enumerate(objects, 1):
        starts.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    size = len(objects) + 1
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\n"
        b"startxref\n%d\n%%%%EOF\n" % (size, table, size, len(out))
    )
