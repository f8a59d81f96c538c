"""Paths about usage, and those that gateways ask."""

from django.urls import path

from metering.api import (
    check,
    corrections,
    entitlements,
    key_usage,
    keys,
    meters,
    quota,
    reports,
    usage,
)

urlpatterns = [
    path("whoami", keys.RootWhoamiView.as_view(), name="whoami"),
    path("api/v1/whoami", keys.WhoamiView.as_view(), name="api-whoami"),
    path("api/v1/keys/verify", keys.VerifyView.as_view(), name="verify-key"),
    path("api/v1/keys/<str:key_id>/usage", key_usage.KeyUsageView.as_view(), name="key-usage"),
    path("api/v1/usage/events", usage.EventsView.as_view(), name="usage-events"),
    path(
        "api/v1/usage/events/<path:event_id>/void",
        corrections.VoidView.as_view(),
        name="void-event",
    ),
    path(
        "api/v1/usage/events/<path:event_id>/amend",
        corrections.AmendView.as_view(),
        name="amend-event",
    ),
    path(
        "api/v1/usage/events/<path:event_id>", corrections.EventView.as_view(), name="usage-event"
    ),
    path("api/v1/meters", meters.MetersView.as_view(), name="meters"),
    path("api/v1/meters/<str:code>", meters.MeterView.as_view(), name="meter"),
    path("api/v1/meters/<str:code>/archive", meters.ArchiveView.as_view(), name="archive-meter"),
    path("api/v1/usage", reports.UsageView.as_view(), name="usage"),
    path("api/v1/quota", quota.QuotaView.as_view(), name="quota"),
    path("api/v1/quota/reservations", quota.ReservationsView.as_view(), name="reserve-quota"),
    path(
        "api/v1/quota/reservations/<str:reservation_id>/settle",
        quota.SettleView.as_view(),
        name="settle-reservation",
    ),
    path(
        "api/v1/quota/reservations/<str:reservation_id>/release",
        quota.ReleaseView.as_view(),
        name="release-reservation",
    ),
    path("api/v1/credits", quota.CreditsView.as_view(), name="credits"),
    path(
        "api/v1/credits/<str:pack_id>/revoke",
        quota.RevokeCreditsView.as_view(),
        name="revoke-credits",
    ),
    path("api/v1/entitlements", entitlements.UsedEntitlementsView.as_view(), name="entitlements"),
    path(
        "api/v1/entitlements/explain",
        entitlements.UsedExplainView.as_view(),
        name="entitlements-explain",
    ),
    path("api/v1/check", check.CheckView.as_view(), name="check"),
    path("api/v1/check/batch", check.CheckBatchView.as_view(), name="check-batch"),
    path("ofrep/v1/evaluate/flags", check.FlagsView.as_view(), name="ofrep-flags"),
    path("ofrep/v1/evaluate/flags/<path:key>", check.FlagView.as_view(), name="ofrep-flag"),
]
