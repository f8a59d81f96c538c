"""Paths that gateways ask."""

from django.urls import path

from metering.api import keys, usage

urlpatterns = [
    path("whoami", keys.RootWhoamiView.as_view(), name="whoami"),
    path("api/v1/whoami", keys.WhoamiView.as_view(), name="api-whoami"),
    path("api/v1/keys/verify", keys.VerifyView.as_view(), name="verify-key"),
    path("api/v1/usage/events", usage.EventsView.as_view(), name="usage-events"),
]
