"""Who gets past the admin's door: a session that is not too old, and a second factor."""

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

from config.clock import now
from keystore import staff_sessions
from keystore.admin.pages import has_verified, person_of
from keystore.second_factor import authenticator_of

ALWAYS_OPEN = ("admin:login", "admin:logout", "admin:jsi18n")
OPEN_WITHOUT_FACTOR = ("staff-verify", "staff-enrol")


class StaffGateMiddleware:
    """Guards every address of the admin before its own view is asked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(reverse("admin:index")) and request.user.is_authenticated:
            refusal = turned_away(request, at=now())
            if refusal is not None:
                return refusal
        return self.get_response(request)


def turned_away(request: HttpRequest, *, at: datetime) -> HttpResponse | None:
    """Where to go first; None: come in."""
    if request.path in map(reverse, ALWAYS_OPEN):
        return None
    if staff_sessions.is_over(request.session, at=at):
        logout(request)
        messages.info(request, "You were logged out, since nobody had used the page for a while.")
        return sent_to("admin:login", request)
    staff_sessions.note_use(request.session, at=at)
    if request.path in map(reverse, OPEN_WITHOUT_FACTOR) or has_verified(request):
        return None
    if authenticator_of(user=person_of(request)) is not None:
        return sent_to("staff-verify", request)
    if settings.STAFF_SECOND_FACTOR != "optional":
        return sent_to("staff-enrol", request)
    return None


def sent_to(page: str, request: HttpRequest) -> HttpResponse:
    """To the page, and from there back to where the request came from; dialogs leave theirs."""
    came_from = request.get_full_path()
    if request.headers.get("HX-Request"):
        came_from = request.headers.get("HX-Current-URL", "").partition(request.get_host())[2]
    url = f"{reverse(page)}?{urlencode({'next': came_from})}"
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return redirect(url)


def way_back(request: HttpRequest) -> str:
    """The address in `next` if it is one of the admin's; the front page for any other."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    front = reverse("admin:index")
    ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if ours and wanted.startswith(front) else front
