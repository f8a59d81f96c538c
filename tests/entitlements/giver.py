"""`python -m tests.entitlements.giver DATABASE_URL`: a worker that gives batches until killed."""

import os
import sys

os.environ["DATABASE_URL"] = sys.argv[1]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

from django.utils import timezone  # noqa: E402

from entitlements.batches import give_due  # noqa: E402

if __name__ == "__main__":
    give_due(clock=timezone.now)
