"""`manage.py reseal`: may the old SECRET_KEY go?"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from keystore.reseal import reseal_secrets


class Command(BaseCommand):
    help = "Seal anew, under SECRET_KEY, what was sealed under one of SECRET_KEY_FALLBACKS."

    def handle(self, *args: Any, **options: Any) -> None:
        found = reseal_secrets()
        self.stdout.write(f"{found.renewed} secrets sealed anew.")
        if found.unreadable:
            lost = ", ".join(found.unreadable)
            raise CommandError(f"No known key opens these; make them anew: {lost}", returncode=1)
