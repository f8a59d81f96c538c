"""Paths of entitlements, below /api/v1/. The questions themselves are routed by whoever counts."""

from django.urls import path

from entitlements import api

urlpatterns = [
    path("admin/grant", api.GrantView.as_view(), name="grant"),
    path("admin/revoke", api.RevokeView.as_view(), name="revoke"),
    path("features", api.FeaturesView.as_view(), name="features"),
    path("plans", api.PlansView.as_view(), name="plans"),
]
