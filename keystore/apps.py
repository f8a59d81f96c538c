from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.db.backends.signals import connection_created
from django.http import HttpRequest


class KeystoreApp(AppConfig):
    name = "keystore"
    verbose_name = "Customers and keys"

    def ready(self) -> None:
        import_module("keystore.openapi")  # the schema generator knows what was imported
        withdrawals = import_module("keystore.withdrawals")
        connection_created.connect(
            withdrawals.watch_connection, dispatch_uid="keystore.watch_connection"
        )
        user_logged_in.connect(note_login, dispatch_uid="keystore.note_login")


def note_login(sender: object, request: HttpRequest, **told: Any) -> None:
    """From here the hours of the session count."""
    from config.clock import now
    from keystore import staff_sessions

    staff_sessions.begin(request, at=now())
