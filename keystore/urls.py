"""Paths about consumers and their keys."""

from django.urls import path

from keystore import api

urlpatterns = [
    path("api/v1/consumers/register", api.RegisterConsumerView.as_view(), name="register-consumer"),
    path("api/v1/consumers/<str:consumer_id>", api.ConsumerView.as_view(), name="consumer"),
    path("api/v1/keys", api.KeysView.as_view(), name="keys"),
    path("api/v1/keys/<str:key_id>/revoke", api.RevokeKeyView.as_view(), name="revoke-key"),
]
