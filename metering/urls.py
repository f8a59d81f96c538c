"""Paths that gateways ask."""

from django.urls import path

from metering import api

urlpatterns = [
    path("whoami", api.RootWhoamiView.as_view(), name="whoami"),
    path("api/v1/whoami", api.WhoamiView.as_view(), name="api-whoami"),
    path("api/v1/keys/verify", api.VerifyView.as_view(), name="verify-key"),
]
