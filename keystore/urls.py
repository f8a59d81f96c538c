"""Paths about consumers and their keys."""

from django.urls import path

from keystore import api, views

urlpatterns = [
    path("api/v1/consumers/register", api.RegisterConsumerView.as_view(), name="register-consumer"),
    path("api/v1/consumers/<str:consumer_id>", api.ConsumerView.as_view(), name="consumer"),
    path("api/v1/keys", api.KeysView.as_view(), name="keys"),
    path("api/v1/keys/<str:key_id>/revoke", api.RevokeKeyView.as_view(), name="revoke-key"),
    path("api/v1/keys/<str:key_id>/rotate", api.RotateKeyView.as_view(), name="rotate-key"),
    path("api/v1/keys/<str:key_id>/disable", api.DisableKeyView.as_view(), name="disable-key"),
    path("api/v1/keys/<str:key_id>/enable", api.EnableKeyView.as_view(), name="enable-key"),
    path("keys/collect/<str:token>", views.collect_key, name="collect-key"),
]
