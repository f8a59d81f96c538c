"""Every path of the service; each app lists its own in its urls module."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import (
    SpectacularAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)

from config import error_pages, health, metrics, problems

urlpatterns: list[URLPattern | URLResolver] = [
    path("", health.landing, name="landing"),
    path("health", health.health, name="health"),
    path("live", health.live, name="live"),
    path("ready", health.ready, name="ready"),
    path("metrics", metrics.metrics, name="metrics"),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("docs/errors", error_pages.list_error_codes, name="error-codes"),
    path("redoc", SpectacularRedocView.as_view(url_name="schema"), name="redoc"),
    path("admin/", include("keystore.admin.urls")),
    path("admin/", include("billing.admin.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("entitlements.urls")),
    path("", include("keystore.urls")),
    path("", include("metering.urls")),
    path("", include("billing.urls")),
    # Last: whatever else is asked of the API is a 404 in its own language, DEBUG or not.
    re_path(r"^(?:api|billing|webhooks|ofrep)/(?P<rest>.*)$", problems.unknown_path),
]

handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.page_not_found
handler500 = problems.server_error
