"""Who looks at the customer's pages: a visit by signed cookie, and in which language."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language_from_request, override
from django_htmx.http import HttpResponseStopPolling
from django_htmx.middleware import HtmxDetails

from billing.models import DashboardLink
from billing.visits import VISIT_LASTS, find_visit
from config.clock import now

SALT = "billing.dashboard"
YEAR = 365 * 24 * 3600
Rest = ParamSpec("Rest")
Page = Callable[Concatenate[HttpRequest, Rest], HttpResponse]
VisitorsPage = Callable[Concatenate[HttpRequest, DashboardLink, Rest], HttpResponse]


def begin(response: HttpResponse, visit: DashboardLink) -> HttpResponse:
    """Give the browser its cookie, which is none of Django's: staff's session stays what it is."""
    response.set_cookie(
        settings.DASHBOARD_COOKIE_NAME,
        signing.dumps(visit.public_id, salt=SALT),
        max_age=int(VISIT_LASTS.total_seconds()),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def end(response: HttpResponse) -> HttpResponse:
    response.delete_cookie(settings.DASHBOARD_COOKIE_NAME, samesite="Lax")
    return response


def visit_of(request: HttpRequest) -> DashboardLink | None:
    """The visit that the browser's cookie names, if it still lasts."""
    try:
        visit_id = signing.loads(
            request.COOKIES.get(settings.DASHBOARD_COOKIE_NAME, ""),
            salt=SALT,
            max_age=VISIT_LASTS,
        )
    except signing.BadSignature:
        return None
    return find_visit(visit_id=visit_id, at=now())


def in_their_language(page: Page[Rest]) -> Page[Rest]:
    """The page in the language of ?lang=, of the cookie that remembers it, or of the browser."""

    @wraps(page)
    def translated(request: HttpRequest, *args: Rest.args, **kwargs: Rest.kwargs) -> HttpResponse:
        chosen = request.GET.get("lang", "")
        if chosen not in dict(settings.LANGUAGES):
            chosen = ""
        with override(chosen or get_language_from_request(request)):
            response = page(request, *args, **kwargs)
        if chosen:
            response.set_cookie(
                settings.LANGUAGE_COOKIE_NAME,
                chosen,
                max_age=YEAR,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response

    return translated


def for_visitor(page: VisitorsPage[Rest]) -> Page[Rest]:
    """Opens the page to a customer on a visit; anybody else reads how to come back."""

    @wraps(page)
    def guarded(request: HttpRequest, *args: Rest.args, **kwargs: Rest.kwargs) -> HttpResponse:
        visit = visit_of(request)
        if visit is None:
            return come_back(request)
        response = page(request, visit, *args, **kwargs)
        if not response.has_header("Cache-Control"):
            add_never_cache_headers(response)
        return response

    return in_their_language(guarded)


def come_back(request: HttpRequest) -> HttpResponse:
    """What somebody without a visit reads. A page that refreshes itself stops doing so."""
    if HtmxDetails(request):
        response: HttpResponse = HttpResponseStopPolling(
            render(request, "billing/own/usage_over.html").content
        )
    else:
        response = render(request, "billing/own/no_visit.html", status=403)
    add_never_cache_headers(response)
    return response
