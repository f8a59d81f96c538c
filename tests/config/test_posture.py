"""What every address of the service has: a token for each form, and the headers of safety."""

import re

import pytest
from django.test import Client
from django.urls import get_resolver

from tests.addresses import patterns
from tests.staff import client_of

PARAMETER = re.compile(r"<(?:\w+:)?\w+>|\(\?P<\w+>[^)]*\)")
# Callers with a key or a signature, no cookie: a foreign page cannot make a browser send those.
# `enter` begins a visit by a token, and asks for the origin of its form.
EXEMPT_PAGES = {"stripe_webhook", "unknown_path", "enter"}


def views() -> dict[str, object]:
    """Every address as it could be asked, with its view."""
    found = patterns(get_resolver().url_patterns)
    return {"/" + _filled(address): one.callback for address, one in found}


def _filled(address: str) -> str:
    if address.startswith("admin/^"):
        return "admin/keystore/"
    return (
        PARAMETER.sub("1", address)
        .replace("^", "")
        .replace("$", "")
        .replace("(?:", "(")
        .split("(", 1)[0]
    )


def is_exempt(view) -> bool:
    return bool(getattr(view, "csrf_exempt", False))


def is_api(view) -> bool:
    return view.__module__.startswith("rest_framework") or hasattr(
        getattr(view, "cls", None), "authentication_classes"
    )


def test_only_the_api_and_the_webhook_take_posts_without_a_token():
    exempt = {view.__name__ for view in views().values() if is_exempt(view) and not is_api(view)}

    assert exempt <= EXEMPT_PAGES


def test_no_caller_of_the_api_is_known_by_a_cookie():
    for view in views().values():
        for kind in getattr(getattr(view, "cls", None), "authentication_classes", ()):
            assert "Session" not in kind.__name__
            assert "Basic" not in kind.__name__


def test_every_other_post_is_refused_without_its_token(db):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client_of("superuser").cookies
    let_in = {
        path: status
        for path, view in views().items()
        if not is_exempt(view) and (status := strict.post(path, {"post": "yes"}).status_code) != 403
    }

    assert let_in == {}


def test_every_answer_has_the_headers(db, client):
    lacking = {}
    for path in views():
        answer = client.get(path)
        found = {
            "policy": "frame-ancestors 'none'" in answer.get("Content-Security-Policy", ""),
            "nosniff": answer.get("X-Content-Type-Options") == "nosniff",
            "frames": answer.get("X-Frame-Options") == "DENY",
            "referrer": answer.get("Referrer-Policy") == "same-origin",
            "opener": answer.get("Cross-Origin-Opener-Policy") == "same-origin",
            "devices": "camera=()" in answer.get("Permissions-Policy", ""),
            "origins": "Access-Control-Allow-Origin" not in answer,
        }
        if not all(found.values()):
            lacking[path] = [name for name, there in found.items() if not there]

    assert lacking == {}


def test_browsers_are_told_to_stay_with_tls_for_a_year(settings):
    settings.SECURE_HSTS_SECONDS = 365 * 24 * 3600
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = True

    told = Client().get("/live", secure=True)["Strict-Transport-Security"]

    assert told.startswith("max-age=31536000; includeSubDomains")


@pytest.mark.parametrize("path", ["/", "/admin/", "/docs"])
def test_no_page_loads_plugins_or_frames(path):
    from config.middleware import policy_for

    policy = policy_for(path)

    assert "default-src 'none'" in policy
    assert "object-src 'none'" in policy
    assert "base-uri 'none'" in policy


def test_forms_of_the_admin_go_to_us_alone(settings):
    from config.middleware import policy_for

    settings.STRIPE_PAGE_ORIGINS = ["https://checkout.stripe.com"]

    assert "form-action 'self';" in policy_for("/admin/x/") + ";"


@pytest.mark.slow
def test_cookies_outside_development_are_of_this_host_alone():
    import os
    import subprocess
    import sys

    from config import paths
    from tests.config.test_deploy import PRODUCTION

    asked = (
        "from config import settings as s; "
        "print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE, "
        "s.SESSION_COOKIE_SAMESITE, s.SESSION_COOKIE_HTTPONLY, s.STAFF_SECOND_FACTOR)"
    )
    said = subprocess.run(
        [sys.executable, "-c", asked], env={**os.environ, **PRODUCTION},
        cwd=paths.ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert said.stdout.split() == [
        "__Host-sessionid", "__Host-csrftoken", "True", "Lax", "True", "required",
    ]  # fmt: skip
