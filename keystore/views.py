"""The page on which a buyer collects a key that was made for them."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from config.clock import now
from keystore.handover import claim_key, is_waiting, key_of_link


@never_cache
@require_http_methods(["GET", "POST"])
def collect_key(request: HttpRequest, token: str) -> HttpResponse:
    """Show the key, once. Opening the link uses nothing up: mail programs open links, too."""
    key, at = key_of_link(token), now()
    if key is None:
        return render(request, "keystore/collect.html", {"key": None}, status=404)
    plaintext = claim_key(key=key, at=at) if request.method == "POST" else None
    shown = {"key": key, "plaintext": plaintext, "waiting": is_waiting(key, at)}
    response = render(request, "keystore/collect.html", shown)
    response["Referrer-Policy"] = "same-origin"  # the address is as good as the key until then
    return response
