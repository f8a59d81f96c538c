"""The PDF of an invoice: where Stripe keeps it now, and its bytes. No other host is ever named."""

import re
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urljoin

import requests
from django.conf import settings

from billing import gateway
from billing.models import Invoice
from billing.origins import origin_of
from config.errors import Conflict

HOSTS = ("https://pay.stripe.com", "https://invoice.stripe.com", "https://files.stripe.com")
LARGEST_BYTES = 20 * 1024 * 1024
MOST_HOPS = 3
CHUNK = 64 * 1024
SECONDS = (3.0, 10.0)  # to connect, to wait for the next bytes


class NoPdf(Conflict):
    code = "invoice_has_no_pdf"


def pdf_link(*, invoice: Invoice) -> str:
    """Stripe's present link; older ones stop working. Raises NoPdf, StripeUnavailable."""
    found = gateway.read(f"/v1/invoices/{invoice.stripe_invoice_id}")
    link = found.get("invoice_pdf") or ""
    if not link:
        raise NoPdf(f"The invoice is a {found['status']} and has no PDF yet: finalize it first.")
    return _trusted(link)


def _trusted(link: str) -> str:
    """Only Stripe's hosts, and the sandbox where that is Stripe."""
    hosts = {*HOSTS, *([settings.STRIPE_API_BASE] if settings.STRIPE_USES_SANDBOX else [])}
    if origin_of(link) not in hosts:
        raise gateway.StripeUnavailable("Stripe named a PDF on an unknown host: tell the operator.")
    return link


def pdf_bytes(*, link: str) -> Iterator[bytes]:
    """The file, piece by piece. Raises StripeUnavailable before the first piece, or never."""
    response = _opened(link)
    if response.headers.get("Content-Type", "").split(";")[0] != "application/pdf":
        response.close()
        raise gateway.StripeUnavailable("Stripe sent no PDF. Try again in a moment.")
    return _pieces(response)


def _opened(link: str) -> requests.Response:
    for _ in range(MOST_HOPS):
        try:
            response = requests.get(link, stream=True, timeout=SECONDS, allow_redirects=False)
        except requests.RequestException as problem:
            raise gateway.StripeUnavailable(f"The PDF cannot be fetched: {problem}") from problem
        if not response.is_redirect:
            break
        link = _trusted(urljoin(link, response.headers["Location"]))
        response.close()
    if response.status_code != 200:
        response.close()
        raise gateway.StripeUnavailable(f"Stripe answered {response.status_code} for the PDF.")
    return response


def _pieces(response: requests.Response) -> Iterator[bytes]:
    sent = 0
    with closing(response):
        for piece in response.iter_content(CHUNK):
            sent += len(piece)
            if sent > LARGEST_BYTES:
                return
            yield piece


def file_name(invoice: Invoice) -> str:
    """A name that is safe in a header."""
    kept = re.sub(r"[^A-Za-z0-9_-]", "", invoice.number or invoice.stripe_invoice_id)
    return f"invoice-{kept}.pdf"
