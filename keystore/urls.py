"""Paths about consumers and their keys."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from keystore import views
from keystore.api import consumers, hooks, keys, leaks


class PublicKeyId(StringConverter):
    regex = "key_[0-9A-Za-z]{1,40}"


register_converter(PublicKeyId, "public_key_id")

urlpatterns = [
    path(
        "api/v1/consumers/register",
        consumers.RegisterConsumerView.as_view(),
        name="register-consumer",
    ),
    path("api/v1/consumers", consumers.ConsumersView.as_view(), name="consumers"),
    path("api/v1/consumers/<str:consumer_id>", consumers.ConsumerView.as_view(), name="consumer"),
    path("api/v1/keys", consumers.KeysView.as_view(), name="keys"),
    # Not every word: /keys/verify is asked of another app.
    path("api/v1/keys/<public_key_id:key_id>", keys.KeyView.as_view(), name="key"),
    path("api/v1/keys/import", keys.ImportKeysView.as_view(), name="import-keys"),
    path("api/v1/keys/<str:key_id>/overlap", keys.MoveCutoffView.as_view(), name="move-cutoff"),
    path("api/v1/keys/<str:key_id>/revoke", consumers.RevokeKeyView.as_view(), name="revoke-key"),
    path("api/v1/keys/<str:key_id>/rotate", consumers.RotateKeyView.as_view(), name="rotate-key"),
    path(
        "api/v1/keys/<str:key_id>/disable", consumers.DisableKeyView.as_view(), name="disable-key"
    ),
    path("api/v1/keys/<str:key_id>/enable", consumers.EnableKeyView.as_view(), name="enable-key"),
    path(
        "api/v1/secret-scanning/revoke",
        leaks.RevokeLeakedView.as_view(),
        name="revoke-leaked-keys",
    ),
    path("keys/collect/<str:token>", views.collect_key, name="collect-key"),
    path("api/v1/hook-endpoints", hooks.HookEndpointsView.as_view(), name="hook-endpoints"),
    path(
        "api/v1/hook-endpoints/<str:endpoint_id>",
        hooks.HookEndpointView.as_view(),
        name="hook-endpoint",
    ),
    path(
        "api/v1/hook-endpoints/<str:endpoint_id>/roll-secret",
        hooks.RollSecretView.as_view(),
        name="roll-hook-secret",
    ),
    path(
        "api/v1/hook-endpoints/<str:endpoint_id>/test",
        hooks.TestHookView.as_view(),
        name="test-hook",
    ),
    path("api/v1/hook-deliveries", hooks.HookDeliveriesView.as_view(), name="hook-deliveries"),
    path(
        "api/v1/hook-deliveries/<str:delivery_id>/redeliver",
        hooks.RedeliverView.as_view(),
        name="redeliver-hook",
    ),
    path(
        "api/v1/hook-messages/<str:message_id>",
        hooks.HookMessageView.as_view(),
        name="hook-message",
    ),
]
