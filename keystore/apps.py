from importlib import import_module

from django.apps import AppConfig


class KeystoreApp(AppConfig):
    name = "keystore"
    verbose_name = "Who is calling"

    def ready(self) -> None:
        import_module("keystore.openapi")  # the schema generator knows what was imported
