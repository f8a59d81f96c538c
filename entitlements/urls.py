"""Paths of entitlements, below /api/v1/."""

from django.urls import path

from entitlements import api

urlpatterns = [
    path("entitlements", api.EntitlementsView.as_view(), name="entitlements"),
    path("entitlements/explain", api.ExplainView.as_view(), name="entitlements-explain"),
    path("admin/grant", api.GrantView.as_view(), name="grant"),
    path("admin/revoke", api.RevokeView.as_view(), name="revoke"),
    path("features", api.FeaturesView.as_view(), name="features"),
    path("plans", api.PlansView.as_view(), name="plans"),
]
