"""Stripe's webhook, and the pages to which buyers come back."""

from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing import gateway, receipt
from billing.checkout import fulfil_checkout
from billing.claims import claim_key_of_checkout
from billing.models import Checkout, InboxState
from billing.origins import PLACEHOLDER
from billing.return_page import return_page_of
from billing.selectors import find_checkout
from config.clock import now
from config.errors import Unavailable
from keystore.doorbell import ring

RETURN_WAIT_SECONDS = 6.0


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponseBase:
    """Keep the event and say so. Who sent it is told by the signature alone."""
    if _declared_length(request) > receipt.MAX_BYTES:
        raise receipt.BodyTooLarge(f"Events are at most {receipt.MAX_BYTES} bytes.")
    try:
        body = request.body
    except RequestDataTooBig as refusal:
        raise receipt.BodyTooLarge(f"Events are at most {receipt.MAX_BYTES} bytes.") from refusal
    signature = request.headers.get("Stripe-Signature", "")
    kept = receipt.receive(body=body, signature=signature, at=now())
    if kept.state == InboxState.PENDING:
        ring(receipt.WORK)
    return JsonResponse(kept.told())


def _declared_length(request: HttpRequest) -> int:
    text = request.headers.get("Content-Length") or "0"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


@never_cache
@require_GET
def checkout_return(request: HttpRequest) -> HttpResponseBase:
    """Where every buyer comes back: give what was paid for, then go on to the app's page."""
    checkout = _checkout(request.GET.get("session_id", ""))
    if checkout is None:
        return render(request, "billing/return_unknown.html", status=404)
    try:
        with gateway.deadline(RETURN_WAIT_SECONDS):
            fulfil_checkout(checkout=checkout, clock=now)
    except (Unavailable, gateway.StripeMissing):
        pass  # the page says that it takes a moment; worker and sweeper go on
    if checkout.success_url:
        return redirect(checkout.success_url.replace(PLACEHOLDER, checkout.stripe_session_id))
    return _return_page(request, checkout)


@never_cache
@require_http_methods(["GET", "POST"])
def claim_key(request: HttpRequest) -> HttpResponseBase:
    """Show the buyer's key, once. Opened as an address, it leads back to the return page."""
    session_id = request.GET.get("session_id", "") or request.POST.get("session_id", "")
    if request.method == "GET":
        query = urlencode({"session_id": session_id})
        return redirect(f"{reverse('checkout-return')}?{query}")
    checkout = _checkout(session_id)
    if checkout is None:
        return render(request, "billing/return_unknown.html", status=404)
    found = claim_key_of_checkout(checkout=checkout, at=now())
    return _return_page(request, checkout, plaintext=found.plaintext if found else None)


def _checkout(session_id: str) -> Checkout | None:
    """By Stripe's long random session id only: whoever knows it came back from paying."""
    if not session_id.startswith("cs_"):
        return None
    return find_checkout(reference=session_id)


def _return_page(
    request: HttpRequest, checkout: Checkout, plaintext: str | None = None
) -> HttpResponse:
    look = request.GET.get("look", "")
    shown_before = int(look) if look.isascii() and look.isdigit() and len(look) < 3 else 0
    return render(
        request,
        "billing/return.html",
        {
            "page": return_page_of(checkout=checkout, look=shown_before, at=now()),
            "checkout": checkout,
            "plaintext": plaintext,
            "whoami_url": f"{settings.PUBLIC_URL}/whoami",
        },
    )


@require_GET
def checkout_cancelled(request: HttpRequest) -> HttpResponse:
    """Where a buyer lands who turned back, when the app named no page of its own."""
    return render(request, "billing/cancelled.html")
