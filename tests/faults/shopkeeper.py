"""A process that does what staff and code of ours do, on the stack that the faults strike.

`python -m tests.faults.shopkeeper` reads one JSON object per line and answers each with one.
"""

import json
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import close_old_connections  # noqa: E402  needs the apps to be loaded

from billing import catalog  # noqa: E402
from billing.demo import ACTOR, APP_KEY, APP_NAME, read_catalog, seed_prices  # noqa: E402
from billing.models import Payment  # noqa: E402
from billing.refunds import want_refund  # noqa: E402
from config.celery import app as celery  # noqa: E402
from config.clock import now  # noqa: E402
from keystore.models import Project  # noqa: E402
from keystore.services import import_key  # noqa: E402


def furnish() -> dict[str, Any]:
    """Put the example catalogue on sale and let the app in with its key."""
    spec = read_catalog()
    catalog.push_tables(project=spec, actor=ACTOR, at=now())
    project = Project.objects.get(slug=spec.slug)
    owner, _ = project.apps.get_or_create(name=APP_NAME)
    import_key(
        project=project,
        owner=owner,
        plaintext=APP_KEY,
        name="faults",
        scopes=["*"],
        actor=ACTOR,
        at=now(),
    )
    seed_prices(spec)
    catalog.push(project=spec, actor=ACTOR, clock=now)
    return {"project": project.pk}


def refund(*, charge: str, amount_minor: int) -> dict[str, Any]:
    """Write a refund down, as the admin does, and leave the call to the worker."""
    payment = Payment.objects.select_related("project", "consumer").get(stripe_charge_id=charge)
    wanted = want_refund(
        payment=payment,
        amount_minor=amount_minor,
        reason="requested_by_customer",
        actor=ACTOR,
        at=now(),
    )
    assert wanted.operation is not None
    return {"operation": wanted.operation.public_id}


def ring(*, task: str) -> dict[str, Any]:
    celery.send_task(task)
    return {}


DEEDS = {"furnish": furnish, "refund": refund, "ring": ring}


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        close_old_connections()  # the database may have been killed since
        try:
            done = DEEDS[asked.pop("do")](**asked)
        except Exception as problem:  # noqa: BLE001  told to whoever asked
            done = {"error": repr(problem)}
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
