from django.apps import AppConfig


class BillingApp(AppConfig):
    name = "billing"
    verbose_name = "Payments"

    def ready(self) -> None:
        from billing import gateway, mirror, settlement  # settlement registers what follows a call
        from billing.usage_reports import unreported_in
        from metering.retention import add_hold

        gateway.install()
        mirror.install()
        settlement.install()
        add_hold(unreported_in)
