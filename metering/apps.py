from django.apps import AppConfig


class MeteringApp(AppConfig):
    name = "metering"
    verbose_name = "Usage"
