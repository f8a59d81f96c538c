"""A process that does behind the scenes of the shop what no page does.

`python -m tests.browser.shopkeeper` reads one JSON object per line and answers each with one.
"""

import os
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402  needs the apps to be loaded
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.db.models import F, QuerySet  # noqa: E402

from billing.demo import build_demo  # noqa: E402
from billing.demo_logins import Logins  # noqa: E402
from billing.demo_people import buy, miss_a_payment  # noqa: E402
from billing.inbox import work_due  # noqa: E402
from billing.models import InboxEvent  # noqa: E402
from config.clock import now  # noqa: E402
from entitlements.models import Grant  # noqa: E402
from keystore.locking import retried  # noqa: E402
from keystore.models import ApiKey, Project  # noqa: E402
from keystore.services import register_consumer  # noqa: E402
from tests.faults.shopkeeper import serve  # noqa: E402

PATIENCE = timedelta(seconds=60)


def furnish(*, logins: str) -> dict[str, Any]:
    """The demo data: the prices, the people, the staff with their logins in a file."""
    report = build_demo(logins=Logins(Path(logins)), clock=now)
    return {"error": "\n".join(report.problems)} if report.problems else {}


def make_staff(*, name: str, password: str, role: str) -> dict[str, Any]:
    made = User.objects.create_user(name, password=password, is_staff=True)
    made.groups.add(Group.objects.get(name=role))
    return {}


def make_late_payer(*, name: str) -> dict[str, Any]:
    project = Project.objects.get(slug="space_journal")
    address = f"{name}@space-journal.example"
    one = register_consumer(project=project, external_id=name, email=address, name=name)
    buy(one, "basic", now)
    miss_a_payment(one, now)
    return {}


def give_up(*, customer: str) -> dict[str, Any]:
    """Every try of the first event of this customer; only the waiting between is left out."""
    events = InboxEvent.objects.filter(stripe_customer_id=customer)
    pending = events.filter(state="pending")
    end = now() + PATIENCE
    while (at := now()) < end:
        if events.filter(state="parked").exists():
            return {}
        # The worker may be at it as well, and at the same rows.
        if retried(partial(_make_first_due, pending, at)):
            retried(partial(work_due, clock=now, limit=1))
        else:
            sleep(0.1)
    return {"error": f"Nothing of {customer} was given up within {PATIENCE.seconds} s."}


def _make_first_due(pending: QuerySet[InboxEvent], at: datetime) -> bool:
    """And none but the first; what was under way before Stripe refused may still end well, and
    then the next one is the first.
    """
    first = pending.order_by("pk").values("pk")[:1]
    pending.exclude(pk__in=first).update(next_attempt_at=at + timedelta(minutes=10))
    return pending.filter(pk__in=first, lease_until=None).update(next_attempt_at=at) > 0


def plant_drifts() -> dict[str, Any]:
    """As if somebody had written to our tables by hand: a grant's end and a key's limit."""
    grants = Grant.objects.filter(source="subscription", revoked_at=None)
    one = grants.exclude(valid_to=None).order_by("pk")[0]
    grants.filter(pk=one.pk).update(valid_to=F("valid_to") + timedelta(days=9))
    keys = ApiKey.objects.filter(
        replaced_at=None,
        revoked_at=None,
        disabled_at=None,
        provisioned_for__startswith="sub_",
    )
    other = keys.exclude(consumer=one.consumer).order_by("pk")[0]
    keys.filter(pk=other.pk).update(plan_limit_per_minute=7)
    return {}


def forget_proofs() -> dict[str, Any]:
    """As if everybody's last password were half an hour old."""
    for row in Session.objects.all():
        session = SessionStore(row.session_key)
        session["staff_proved"] = 0.0
        session.save()
    return {}


DEEDS = {
    "furnish": furnish,
    "make_staff": make_staff,
    "make_late_payer": make_late_payer,
    "give_up": give_up,
    "plant_drifts": plant_drifts,
    "forget_proofs": forget_proofs,
}

if __name__ == "__main__":
    serve(DEEDS)
