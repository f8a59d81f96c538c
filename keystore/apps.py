from django.apps import AppConfig


class KeystoreApp(AppConfig):
    name = "keystore"
    verbose_name = "Who is calling"
