"""The whole product with the demo data, as processes of its own, for a real browser to visit."""

import time
from pathlib import Path

from billing.demo_logins import ADMIN, Logins
from tests import template
from tests.faults.http import call
from tests.faults.stack import CELERY, Stack
from tests.faults.test_kills import SANDBOX_KEY

AS_US = {"Authorization": SANDBOX_KEY, "Content_Type": "application/x-www-form-urlencoded"}


class Shop(Stack):
    """What `make run` starts, under `base`: nothing of it touches this checkout's own state."""

    shopkeeper_module = "tests.browser.shopkeeper"

    def start(self) -> None:
        self.start_valkey()
        if not template.copy_cluster(template.key(), self.postgres):
            raise AssertionError("The run of pytest has made no template of the database.")
        self.start_postgres()
        self._start_sandbox()
        self._start_shopkeeper()
        self.start_web("web", self.port)
        self._start_worker_with_beat()
        self.ask_shopkeeper(do="furnish", logins=str(self.logins_file))
        self.wait_for("web", lambda: call("GET", f"{self.web}/ready").status == 200)
        self.wait_for("worker", self._worker_answers)

    def _start_worker_with_beat(self) -> None:
        alone = ("--concurrency=2", "--without-gossip", "--without-mingle")
        self._spawn("worker", [*CELERY, "worker", "--beat", *alone])

    def make_staff(self, name: str, password: str, role: str) -> None:
        """A colleague with one role."""
        self.ask_shopkeeper(do="make_staff", name=name, password=password, role=role)

    def make_late_payer(self, name: str) -> None:
        """One more whose upgrade was charged to a card without money, as the demo's Grace."""
        self.ask_shopkeeper(do="make_late_payer", name=name)

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
        self.ask_shopkeeper(do="give_up", customer=customer)

    def customer_of(self, user: str) -> str:
        """Their id at Stripe."""
        holder = (
            "select stripe_customer_id from billing_stripecustomer s"
            " join keystore_consumer c on c.id = s.consumer_id where c.external_id = %s"
        )
        return str(self.one(holder, user))

    def plant_drifts(self) -> None:
        """As if somebody had written to our tables by hand: a grant's end and a key's limit."""
        self.ask_shopkeeper(do="plant_drifts")

    def forget_proofs(self) -> None:
        """As if everybody's last password were half an hour old."""
        self.ask_shopkeeper(do="forget_proofs")

    @property
    def logins_file(self) -> Path:
        return self.base / "logins.env"

    @property
    def admin_password(self) -> str:
        return Logins(self.logins_file).known[ADMIN]
