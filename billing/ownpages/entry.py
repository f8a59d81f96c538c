"""The customer's pages opened by a token of the project's identity provider, without a link.

A form on the project's own page posts the token, or an app sends it as `Authorization: Bearer`. It
is never read from an address. The form comes from another site, so no CSRF token can be with it:
what says that nobody is signed in as somebody else is the browser's `Origin`, which must be one
that the project lists.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from billing.origins import is_own_origin
from billing.ownpages import visitor
from billing.ownpages.visitor import in_their_language
from billing.visits import open_by_ticket
from config.clock import now
from config.errors import DomainError
from keystore import ratelimit
from keystore.addresses import remote_address
from keystore.credentials import bearer_in
from keystore.endusers import Ticket, read_ticket
from keystore.errors import InvalidToken
from keystore.services import register_consumer


class TooOften(DomainError):
    code = "too_many_entries"
    status = 429


FIELD = "token"
PER_MINUTE = 30  # from one address


@csrf_exempt
@sensitive_post_parameters(FIELD)
@require_POST
@in_their_language
def enter(request: HttpRequest) -> HttpResponse:
    """303 to the pages with the visit's cookie. A token that was used before leads there without
    one: a double click finds the visit that it began, a thief finds none.
    """
    at = now()
    try:
        _slow_down(request)
        header = bearer_in(request.META)
        ticket = read_ticket(token=header or request.POST.get(FIELD, ""), at=at)
        _require_origin(request, ticket, by_form=not header)
        user = ticket.user
        consumer = user.consumer or register_consumer(
            project=user.project, external_id=user.external_id, email=user.email, actor=user.actor
        )
        visit = open_by_ticket(ticket=ticket, consumer=consumer, at=at)
    except DomainError as refusal:
        return _refused(request, refusal)
    response: HttpResponse = redirect("dashboard")
    response.status_code = 303
    if visit is not None:
        visitor.begin(response, visit)
    response["Referrer-Policy"] = "no-referrer"
    add_never_cache_headers(response)
    return response


def _require_origin(request: HttpRequest, ticket: Ticket, *, by_form: bool) -> None:
    """A form without an origin could come from anywhere; no page can make a browser send a header
    to another site without asking, so programs that send one need none.
    """
    origin = request.headers.get("Origin", "")
    if not origin and not by_form:
        return
    if not is_own_origin(origin, project=ticket.user.project):
        raise InvalidToken("The page that sent this token is not one that the project lists.")


def _slow_down(request: HttpRequest) -> None:
    verdict = ratelimit.take(
        subject=f"dashboard-enter:{remote_address(request.META)}",
        limit_per_minute=PER_MINUTE,
        burst=None,
    )
    if not verdict.allowed:
        raise TooOften("Too many tries from this address: wait a minute.")


def _refused(request: HttpRequest, refusal: DomainError) -> HttpResponse:
    response = render(request, "billing/own/not_entered.html", status=refusal.status)
    add_never_cache_headers(response)
    return response
