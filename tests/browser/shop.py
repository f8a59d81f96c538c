"""The whole product with the demo data, as processes of its own, for a real browser to visit."""

import subprocess
import sys
import time
from pathlib import Path

from billing.demo_logins import ADMIN, Logins
from config import paths
from tests import template
from tests.faults.http import call
from tests.faults.stack import CELERY, Stack
from tests.faults.test_kills import SANDBOX_KEY

AS_US = {"Authorization": SANDBOX_KEY, "Content_Type": "application/x-www-form-urlencoded"}


class Shop(Stack):
    """What `make run` starts, under `base`: nothing of it touches this checkout's own state."""

    def start(self) -> None:
        self.start_valkey()
        if not template.copy_cluster(template.key(), self.postgres):
            raise AssertionError("The run of pytest has made no template of the database.")
        self.start_postgres()
        self._start_sandbox()
        self.start_web("web", self.port)
        self._start_worker_with_beat()
        self._furnish()
        self.wait_for("web", lambda: call("GET", f"{self.web}/ready").status == 200)
        self.wait_for("worker", self._worker_answers)

    def _start_worker_with_beat(self) -> None:
        alone = ("--concurrency=2", "--without-gossip", "--without-mingle")
        self._spawn("worker", [*CELERY, "worker", "--beat", *alone])

    def _furnish(self) -> None:
        """Fill in the demo data: the prices, the people, the staff."""
        command = [sys.executable, "-m", "tests.browser.furnish", str(self.logins_file)]
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=paths.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)

    def make_staff(self, name: str, password: str, role: str) -> None:
        """A colleague with one role."""
        self._tell_django(
            "from django.contrib.auth.models import Group, User\n"
            f"made = User.objects.create_user({name!r}, password={password!r}, is_staff=True)\n"
            f"made.groups.add(Group.objects.get(name={role!r}))"
        )

    def make_late_payer(self, name: str) -> None:
        """One more whose upgrade was charged to a card without money, as the demo's Grace."""
        self._tell_django(
            "from billing.demo_people import buy, miss_a_payment\n"
            "from config.clock import now\n"
            "from keystore.models import Project\n"
            "from keystore.services import register_consumer\n"
            "project = Project.objects.get(slug='space_journal')\n"
            f"one = register_consumer(project=project, external_id={name!r},\n"
            f"    email='{name}@space-journal.example', name={name!r})\n"
            "buy(one, 'basic', now)\n"
            "miss_a_payment(one, now)"
        )

    def park_event(self, customer: str) -> None:
        """Stripe refuses to be read about one of whom it told something, as after a mistake of
        ours, until the event is given up; then it answers again.
        """
        self.refuse_to_tell(customer)
        address = f"{self.stripe}/v1/customers/{customer}"
        new_name = f"name=Nora {time.time_ns()}".encode()  # what stays the same is no event
        assert call("POST", address, new_name, **AS_US).status == 200
        self.give_up(customer)
        self.control("faults/clear")

    def refuse_to_tell(self, customer: str) -> None:
        self.fault(f"GET /v1/customers/{customer}", "refused")

    def give_up(self, customer: str) -> None:
        """Every try of the first event of this customer; only the waiting between is left out."""
        waiting = "select count(*) from billing_inboxevent where stripe_customer_id = %s"
        self.wait_for("the event", lambda: self.one(f"{waiting} and state = 'pending'", customer))
        self._tell_django(
            "from datetime import timedelta\n"
            "from time import sleep\n"
            "from billing.inbox import MAX_ATTEMPTS, work_due\n"
            "from billing.models import InboxEvent\n"
            "from config.clock import now\n"
            f"events = InboxEvent.objects.filter(stripe_customer_id={customer!r})\n"
            "first = events.filter(state='pending').order_by('pk').first()\n"
            "later = events.filter(state='pending').exclude(pk=first.pk)\n"
            "for _ in range(10 * MAX_ATTEMPTS):\n"
            "    at = now()\n"
            "    later.update(next_attempt_at=at + timedelta(minutes=10))\n"
            "    if events.filter(pk=first.pk, state='parked').exists():\n"
            "        break\n"
            # The worker may be at it as well.
            "    free = events.filter(pk=first.pk, state='pending', lease_until=None)\n"
            "    if not free.update(next_attempt_at=at):\n"
            "        sleep(0.2)\n"
            "    work_due(clock=lambda: at, limit=1)\n"
            "else:\n"
            "    raise SystemExit('The event is not given up.')"
        )

    def customer_of(self, user: str) -> str:
        """Their id at Stripe."""
        holder = (
            "select stripe_customer_id from billing_stripecustomer s"
            " join keystore_consumer c on c.id = s.consumer_id where c.external_id = %s"
        )
        return str(self.one(holder, user))

    def plant_drifts(self) -> None:
        """As if somebody had written to our tables by hand: a grant's end and a key's limit."""
        self._tell_django(
            "from datetime import timedelta\n"
            "from django.db.models import F\n"
            "from entitlements.models import Grant\n"
            "from keystore.models import ApiKey\n"
            "grants = Grant.objects.filter(source='subscription', revoked_at=None)\n"
            "one = grants.exclude(valid_to=None).order_by('pk').first()\n"
            "grants.filter(pk=one.pk).update(valid_to=F('valid_to') + timedelta(days=9))\n"
            "keys = ApiKey.objects.filter(replaced_at=None, revoked_at=None,\n"
            "    disabled_at=None, provisioned_for__startswith='sub_')\n"
            "other = keys.exclude(consumer=one.consumer).order_by('pk').first()\n"
            "keys.filter(pk=other.pk).update(plan_limit_per_minute=7)"
        )

    def forget_proofs(self) -> None:
        """As if everybody's last password were half an hour old."""
        self._tell_django(
            "from django.contrib.sessions.backends.db import SessionStore\n"
            "from django.contrib.sessions.models import Session\n"
            "for row in Session.objects.all():\n"
            "    session = SessionStore(row.session_key)\n"
            "    session['staff_proved'] = 0.0\n"
            "    session.save()"
        )

    def _tell_django(self, code: str) -> None:
        subprocess.run(
            [sys.executable, str(paths.ROOT / "manage.py"), "shell", "-v0", "-c", code],
            env=self.environment,
            cwd=paths.ROOT,
            capture_output=True,
            check=True,
        )

    @property
    def logins_file(self) -> Path:
        return self.base / "logins.env"

    @property
    def admin_password(self) -> str:
        return Logins(self.logins_file).known[ADMIN]
