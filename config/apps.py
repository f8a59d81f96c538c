"""Makes `config` an app, so that its system checks and commands are found."""

from django.apps import AppConfig


class ConfigApp(AppConfig):
    name = "config"
    label = "latchkey_config"
    verbose_name = "Latchkey"

    def ready(self) -> None:
        from config import checks  # noqa: F401  registers the system checks
