"""What customers read about themselves. Every page shows the visit's own consumer only."""

import hashlib

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.utils.http import parse_etags, quote_etag
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.middleware import HtmxDetails

from billing.dashboard import dashboard_of, usage_of
from billing.models import DashboardLink, Invoice
from billing.origins import origin_of
from billing.ownpages import visitor
from billing.ownpages.visitor import for_visitor, in_their_language
from billing.visits import can_open, end_visit, open_link
from config.clock import now


@require_http_methods(["GET", "HEAD", "POST"])
@in_their_language
def open_dashboard(request: HttpRequest) -> HttpResponse:
    """Where a one-time link leads: a button, since mail and chat programs open links, too.

    The pages go without `no-referrer`: with it browsers send `Origin: null` with their forms,
    which the CSRF check refuses. `same-origin`, the default here, tells other sites as little.
    """
    if request.method != "POST":
        token = request.GET.get("token", "")
        response = _open_page(request, token, usable=can_open(token=token, at=now()))
        get_token(request)  # sets the cookie by which the browser is known again
        return response
    token = request.POST.get("token", "")
    visit = open_link(token=token, browser=request.META.get("CSRF_COOKIE", ""), at=now())
    if visit is None:
        return _open_page(request, token, usable=False)
    response = visitor.begin(redirect("dashboard"), visit)
    response["Referrer-Policy"] = "no-referrer"
    add_never_cache_headers(response)
    return response


def _open_page(request: HttpRequest, token: str, *, usable: bool) -> HttpResponse:
    if not usable and visitor.visit_of(request) is not None:
        return redirect("dashboard")  # the way back after the link was used in this browser
    context = {"token": token if usable else ""}
    response = render(request, "billing/own/open.html", context, status=200 if usable else 403)
    add_never_cache_headers(response)
    return response


@require_safe
@for_visitor
def dashboard(request: HttpRequest, visit: DashboardLink) -> HttpResponse:
    """The customer's own page, from our tables alone: it reads while Stripe is away."""
    shown = dashboard_of(consumer=visit.consumer, at=now())
    return render(request, "billing/dashboard.html", {"dashboard": shown, "visit": visit})


@require_safe
@for_visitor
def usage(request: HttpRequest, visit: DashboardLink) -> HttpResponse:
    """The bars alone, which the page asks for again and again; 304 while nothing has changed."""
    if not HtmxDetails(request):
        return redirect("dashboard")
    shown = {"usage": usage_of(consumer=visit.consumer, at=now())}
    response = render(request, "billing/own/usage.html", shown)
    etag = quote_etag(hashlib.sha256(response.content).hexdigest()[:32])
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        response = HttpResponse(status=304)
    response["ETag"] = etag
    # The browser keeps the bars and asks each time whether they still hold.
    response["Cache-Control"] = "private, no-cache"
    response["Vary"] = "Cookie, Accept-Language, HX-Request"
    return response


@require_safe
@for_visitor
def invoice_pdf(request: HttpRequest, visit: DashboardLink, invoice_id: str) -> HttpResponse:
    """On to the PDF at Stripe, of an own invoice only."""
    return _to_stripe(request, visit, invoice_id, "pdf_url")


@require_safe
@for_visitor
def pay_invoice(request: HttpRequest, visit: DashboardLink, invoice_id: str) -> HttpResponse:
    """On to the page at Stripe on which an own invoice is paid."""
    return _to_stripe(request, visit, invoice_id, "hosted_url")


def _to_stripe(
    request: HttpRequest, visit: DashboardLink, invoice_id: str, field: str
) -> HttpResponse:
    own = Invoice.objects.filter(consumer=visit.consumer).exclude(status="draft")
    url = own.filter(stripe_invoice_id=invoice_id).values_list(field, flat=True).first() or ""
    if origin_of(url) is None:
        return not_here(request)
    return redirect(url)


def not_here(request: HttpRequest) -> HttpResponse:
    """Somebody else's thing looks the same as none."""
    return render(request, "billing/own/not_here.html", status=404)


@require_POST
@for_visitor
def leave(request: HttpRequest, visit: DashboardLink) -> HttpResponse:
    """End the visit here and now; a copy of the cookie opens nothing any more."""
    end_visit(visit=visit, at=now())
    return visitor.end(render(request, "billing/own/left.html", {"visit": visit}))
