"""Makes `config` an app, so that its system checks and commands are found."""

from django.apps import AppConfig


class ConfigApp(AppConfig):
    name = "config"
    label = "latchkey_config"
    verbose_name = "Latchkey"

    def ready(self) -> None:
        from config import checks  # noqa: F401  registers the checks
        from keystore import doorbell

        doorbell.connect(send_task)


def send_task(name: str) -> None:
    """Hand a task to the queue. Celery is loaded by the first ring, in the doorbell's thread:
    commands and the start of the web server need not wait a second for it.
    """
    from config.celery import app

    app.send_task(name)
