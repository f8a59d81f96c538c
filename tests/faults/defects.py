"""Mistakes that a worker can be started with, so that a proof may show that it sees them.

`python -m tests.faults.defects new_key_per_try -A config worker`: the rest is for Celery.
"""

import os
import sys
from uuid import uuid4

import django
from celery.bin.celery import main as celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def new_key_per_try() -> None:
    """Each try goes to Stripe under an idempotency key of its own."""
    from billing.models import Operation

    Operation.idempotency_key = property(lambda operation: f"latchkey:{uuid4()}")


DEFECTS = {"new_key_per_try": new_key_per_try}


def main() -> None:
    defect, *rest = sys.argv[1:]
    django.setup()
    DEFECTS[defect]()
    sys.argv = ["celery", *rest]
    celery()


if __name__ == "__main__":
    main()
