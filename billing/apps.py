from django.apps import AppConfig


class BillingApp(AppConfig):
    name = "billing"
    verbose_name = "Payments"

    def ready(self) -> None:
        from billing import gateway, mirror, settlement  # settlement registers what follows a call

        gateway.install()
        mirror.install()
        settlement.install()
