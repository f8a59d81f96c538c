from django.apps import AppConfig


class BillingApp(AppConfig):
    name = "billing"
    verbose_name = "What was paid"
