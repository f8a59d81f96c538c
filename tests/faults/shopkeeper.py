"""A process that does what staff and code of ours do, on the stack that the faults strike.

`python -m tests.faults.shopkeeper` reads one JSON object per line and answers each with one.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402  needs the apps to be loaded
from django.db import close_old_connections  # noqa: E402

from billing import catalog, gateway  # noqa: E402
from billing.customers import ensure_customer  # noqa: E402
from billing.demo import ACTOR, APP_KEY, APP_NAME, read_catalog, seed_prices  # noqa: E402
from billing.models import Payment, RefundLimit  # noqa: E402
from billing.refund_desk import RefundWish, request_refund  # noqa: E402
from billing.refunds import want_refund  # noqa: E402
from billing.sync import sync_customer  # noqa: E402
from config.celery import app as celery  # noqa: E402
from config.clock import now  # noqa: E402
from keystore.models import Project  # noqa: E402
from keystore.services import import_key  # noqa: E402
from metering import rebuild, rollup  # noqa: E402


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


def total_up() -> dict[str, Any]:
    """Roll usage up, and prove the totals from the events."""
    rollup.roll_up(clock=now)
    return {"differences": len(rebuild.prove_totals().differences)}


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


def collect(*, consumer: str, amounts: list[int]) -> dict[str, Any]:
    """A consumer pays each of the amounts once; the ids of the charges."""
    project = Project.objects.get()
    buyer, _ = project.consumers.get_or_create(external_id=consumer)
    holder = ensure_customer(consumer=buyer, actor=ACTOR, at=now())
    for number, amount_minor in enumerate(amounts):
        params = {
            "amount": amount_minor,
            "currency": "usd",
            "customer": holder.stripe_customer_id,
            "payment_method": "pm_card_visa",
            "confirm": "true",
            "automatic_payment_methods": {"enabled": "true", "allow_redirects": "never"},
        }
        key = f"collect:{consumer}:{number}"
        gateway.write("/v1/payment_intents", params, idempotency_key=key)
    sync_customer(stripe_customer_id=holder.stripe_customer_id, clock=now, full=True)
    paid = Payment.objects.filter(consumer=buyer).order_by("pk")
    return {"charges": list(paid.values_list("stripe_charge_id", flat=True))}


def ask_refund(*, charge: str, amount_minor: int) -> dict[str, Any]:
    """Staff's click; repeated after a broken connection it is the same click."""
    payment = Payment.objects.get(stripe_charge_id=charge)
    most = {"approval_above_minor": 10**9}
    RefundLimit.objects.get_or_create(project=payment.project, currency="usd", defaults=most)
    person, _ = User.objects.get_or_create(username="sam", is_staff=True, is_superuser=True)
    wish = RefundWish(key=f"click:{charge}", amount_minor=amount_minor, reason="chaos")
    made = request_refund(payment=payment, wish=wish, person=person, at=now())
    return {"request": made.public_id}


def ring(*, task: str) -> dict[str, Any]:
    celery.send_task(task)
    return {}


DEEDS = {
    "furnish": furnish,
    "total_up": total_up,
    "refund": refund,
    "collect": collect,
    "ask_refund": ask_refund,
    "ring": ring,
}


def serve(deeds: dict[str, Callable[..., dict[str, Any]]]) -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        close_old_connections()  # the database may have been killed since
        try:
            done = deeds[asked.pop("do")](**asked)
        except Exception as problem:  # noqa: BLE001  told to whoever asked
            done = {"error": repr(problem)}
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(DEEDS)
