"""Makes `config` an app, so that its system checks and commands are found."""

from django.apps import AppConfig


class ConfigApp(AppConfig):
    name = "config"
    label = "latchkey_config"
    verbose_name = "Latchkey"

    def ready(self) -> None:
        from config import celery, checks  # noqa: F401  connects the doorbell; registers the checks
