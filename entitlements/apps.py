from django.apps import AppConfig


class EntitlementsApp(AppConfig):
    name = "entitlements"
    verbose_name = "Access"
