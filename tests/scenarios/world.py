"""A shop with three prices and two users, its Stripe, and a network that loses and repeats.

Deeds are plain methods that pick what they act on by number, so that a machine or a script can
call them in any order; what Stripe or Latchkey refuses is no deed.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit

from billing import gateway, inbox, missed, receipt, sweep
from billing.checkout import Wish, fulfil_checkout, start_checkout
from billing.customers import ensure_customer
from billing.models import (
    Checkout,
    CheckoutMode,
    InboxEvent,
    InboxState,
    Payment,
    Price,
    PriceKind,
)
from billing.operations import settle_due
from billing.refunds import refund_payment
from config.errors import DomainError
from entitlements.models import Feature, Grant, Plan, PlanFeature
from entitlements.services import give_grant, revoke_grant
from keystore.models import Project
from sandbox import Sandbox
from tests.billing.conftest import SharedClock, sell
from tests.conftest import NOON
from tests.scenarios.model import Given, Sold
from tests.scenarios.picture import differences, rows
from tests.servers import restore

USERS = ("alice", "bob")
SECRET = "whsec_tests_current"
GOOD_CARD, DECLINED_CARD = "4242424242424242", "4000000000000002"
LATE_REFUND_CARD, FAILING_REFUND_CARD = "4000000000007726", "4000000000005126"
CARDS = (GOOD_CARD, GOOD_CARD, DECLINED_CARD, LATE_REFUND_CARD, FAILING_REFUND_CARD)
KEPT_DAYS = 29  # Stripe lists events for 30: whoever does not ask by then has lost them
Item = TypeVar("Item")


class World:
    """`close` it when done: it is what `billing.gateway` reaches until then."""

    def __init__(self) -> None:
        restore()
        self.sandbox = Sandbox(frozen_at=NOON)
        gateway.connect(self.sandbox.http_client())
        self.clock = SharedClock(self.sandbox)
        self.sandbox.deliver_to(self._take_in, SECRET)
        self.lost: set[str] = set()  # events that no delivery will bring
        self.delivered: list[str] = []
        self.asked_at = NOON  # when Stripe's list of events was last read
        self.given: list[tuple[Given, Grant]] = []
        self.number = 0
        self._open_shop()

    def close(self) -> None:
        gateway.connect(None)

    def _open_shop(self) -> None:
        project = Project.objects.create(slug="journal", name="Journal")
        self.users = {
            name: project.consumers.create(external_id=name, email=f"{name}@example.com")
            for name in USERS
        }
        self.labs = Feature.objects.create(project=project, code="labs")
        self.catalogue: dict[str, Sold] = {}
        self.prices = [
            self._sell(project, "basic", 10, 60, 900),
            self._sell(project, "pro", 20, 600, 1499),
            self._sell(project, "lifetime", 30, None, 9900, interval=""),
        ]

    def _sell(
        self,
        project: Project,
        code: str,
        rank: int,
        limit: int | None,
        amount: int,
        interval: str = "month",
    ) -> Price:
        plan = Plan.objects.create(
            project=project, code=code, name=code.title(), rank=rank, limit_per_minute=limit
        )
        own = Feature.objects.create(project=project, code=f"of-{code}")
        shared, _ = Feature.objects.get_or_create(project=project, code="export")
        for feature in (own, shared):
            PlanFeature.objects.create(plan=plan, feature=feature)
        price = sell(plan, self.sandbox, amount_minor=amount, interval=interval)
        features = frozenset({own.code, shared.code})
        self.catalogue[price.stripe_price_id] = Sold(code, features, limit, amount)
        return price

    # --- What buyers do ---

    def check_out(self, user: str, price: int) -> Checkout | None:
        wanted = self.prices[price % 3]
        recurring = wanted.kind == PriceKind.RECURRING
        mode = CheckoutMode.SUBSCRIPTION if recurring else CheckoutMode.PAYMENT
        wish = Wish(consumer=self.users[user], price=wanted, mode=mode)
        with contextlib.suppress(DomainError):
            begun = start_checkout(wish=wish, actor="app:shop", at=self.clock())
            Checkout.objects.filter(pk=begun.pk).update(created_at=self.clock())
            return begun
        return None

    def pay(self, which: int, card: str = GOOD_CARD) -> None:
        waiting = [found for found in self.at_stripe("checkout.session") if found["url"]]
        session = pick(waiting, which)
        if session is None or session["status"] != "open":
            return
        form = {
            "number": card,
            "expiry": "12/34",
            "cvc": "123",
            "name": "A",
            "email": "a@b.example",
        }
        self.sandbox.open_page("POST", urlsplit(session["url"]).path, query={}, form=form)

    def come_back(self, which: int) -> None:
        checkout = pick(list(Checkout.objects.order_by("pk")), which)
        if checkout is not None:
            with contextlib.suppress(DomainError):
                fulfil_checkout(checkout=checkout, clock=self.clock)

    def buy(self, user: str, price: int, card: str = GOOD_CARD) -> None:
        """Check out and pay at once, without coming back."""
        begun = self.check_out(user, price)
        sessions = [found["id"] for found in self.at_stripe("checkout.session")]
        if begun is not None and begun.stripe_session_id in sessions:
            self.pay(sessions.index(begun.stripe_session_id), card)

    # --- What happens at Stripe ---

    def subscribe(self, user: str, price: int) -> None:
        """Somebody makes the subscription in Stripe's dashboard."""
        holder = ensure_customer(consumer=self.users[user], actor="system", at=self.clock())
        if holder is None:
            return
        customer = holder.stripe_customer_id
        card = self.change("/v1/payment_methods/pm_card_visa/attach", customer=customer)
        if card is not None:
            items = [{"price": self.prices[price % 2].stripe_price_id}]
            self.change(
                "/v1/subscriptions",
                customer=customer,
                items=items,
                default_payment_method=card["id"],
            )

    def cancel(self, which: int) -> None:
        self._to_subscription(which, method="delete")

    def cancel_at_period_end(self, which: int) -> None:
        self._to_subscription(which, cancel_at_period_end="true")

    def uncancel(self, which: int) -> None:
        self._to_subscription(which, cancel_at_period_end="false")

    def pause(self, which: int) -> None:
        self._to_subscription(which, pause_collection={"behavior": "void"})

    def resume(self, which: int) -> None:
        self._to_subscription(which, pause_collection="")

    def change_price(self, which: int) -> None:
        found = self._subscription(which)
        if found is not None:
            (item,) = found["items"]["data"]
            known = [price.stripe_price_id for price in self.prices[:2]]
            other = known[1 - known.index(item["price"]["id"])]
            self._to_subscription(which, items=[{"id": item["id"], "price": other}])

    def give_card(self, which: int, name: str) -> None:
        """`chargeCustomerFail` can be saved, but every charge of it is declined."""
        found = self._subscription(which)
        if found is not None:
            path = f"/v1/payment_methods/pm_card_{name}/attach"
            card = self.change(path, customer=found["customer"])
            if card is not None:
                self._to_subscription(which, default_payment_method=card["id"])

    def refund_at_stripe(self, which: int, amount: int | None) -> None:
        charge = pick(self.at_stripe("charge"), which)
        if charge is not None:
            part = {} if amount is None else {"amount": amount}
            self.change("/v1/refunds", charge=charge["id"], **part)

    def delete_customer(self, which: int) -> None:
        customer = pick(self.at_stripe("customer"), which)
        if customer is not None:
            self.change(f"/v1/customers/{customer['id']}", method="delete")

    def pass_time(self, *, days: int) -> None:
        if self.clock() + timedelta(days=days) > self.asked_at + timedelta(days=KEPT_DAYS):
            self.fetch()
        self.clock.advance(days=days)

    def _subscription(self, which: int) -> dict | None:
        return pick(self.at_stripe("subscription"), which)

    def _to_subscription(self, which: int, method: str = "post", **params: Any) -> None:
        found = self._subscription(which)
        if found is not None:
            self.change(f"/v1/subscriptions/{found['id']}", method=method, **params)

    def change(self, path: str, method: str = "post", **params: Any) -> dict | None:
        self.number += 1
        key = f"world:{self.number}"
        with contextlib.suppress(gateway.StripeRefused, gateway.StripeMissing):
            return gateway.write(path, params, idempotency_key=key, method=method)
        return None

    def at_stripe(self, kind: str) -> list[dict]:
        return list(self.sandbox.store.all(kind))

    # --- What staff do ---

    def give(self, user: str, days: int | None) -> None:
        self.number += 1
        start = self.clock()
        end = start + timedelta(days=days) if days else None
        grant = give_grant(
            consumer=self.users[user],
            feature=self.labs,
            valid_from=start,
            valid_to=end,
            reason="goodwill",
            granted_by="staff:sam",
            idempotency_key=f"world:{self.number}",
            actor="staff:sam",
            at=start,
        )
        self.given.append((Given(user, self.labs.code, start, end), grant))

    def take_back(self, which: int) -> None:
        found = pick(self.given, which)
        if found is not None:
            gift, grant = found
            revoke_grant(grant=grant, reason="enough", actor="staff:sam", at=self.clock())
            gift.taken_back = True

    def refund_here(self, which: int, amount: int) -> None:
        payment = pick(list(Payment.objects.order_by("created_at", "pk")), which)
        if payment is not None:
            with contextlib.suppress(DomainError):
                refund_payment(
                    payment=payment,
                    amount_minor=amount,
                    reason="asked",
                    actor="staff:sam",
                    at=self.clock(),
                )

    # --- The network, and what works here ---

    def _take_in(self, body: bytes, signature: str) -> int:
        event = json.loads(body)
        receipt.keep(event=event, at=self.clock())
        self.delivered.append(event["id"])
        return 200

    def waiting(self) -> list[dict]:
        return [event for event in self.sandbox.pending_events() if event["id"] not in self.lost]

    def deliver(self, order: Random, count: int = 1000) -> None:
        """Some of the webhooks that wait, in any order."""
        waiting = self.waiting()
        order.shuffle(waiting)
        for event in waiting[:count]:
            self.sandbox.webhooks.deliver(event)

    def deliver_again(self, order: Random, count: int) -> None:
        known = sorted(set(self.delivered), key=self.delivered.index)
        for event in order.sample(known, min(count, len(known))):
            self.sandbox.webhooks.deliver(event)

    def lose(self, order: Random, count: int) -> None:
        waiting = self.waiting()
        self.lost |= {event["id"] for event in order.sample(waiting, min(count, len(waiting)))}

    def work(self, limit: int = 500) -> None:
        # A task's time ends a round in production; how busy this machine is must not end it here.
        inbox.work_due(clock=self.clock, limit=limit, seconds=float("inf"))

    def work_while_stripe_stumbles(self, times: int) -> None:
        self.sandbox.faults.add("GET /v1/*", "rate_limit", times=times)
        self.work(limit=20)
        self.sandbox.faults.clear()

    def fetch(self) -> int:
        since = self.asked_at - timedelta(minutes=5)
        self.asked_at = self.clock()
        return missed.fetch_missed_events(at=self.clock(), since=since)

    def sweep(self) -> None:
        sweep.sweep_checkouts(clock=self.clock)

    # --- The proof ---

    def come_to_rest(self) -> None:
        """Nothing more happens at Stripe: what was missed is fetched, what is due is done."""
        for _ in range(30):
            self.clock.advance(minutes=11)  # longer than any retry waits
            fetched, settled = self.fetch(), settle_due(at=self.clock())
            self.work()
            if not (fetched or settled or self.has_work()):
                return
        raise AssertionError("it does not come to rest")

    def has_work(self) -> bool:
        return InboxEvent.objects.filter(state=InboxState.PENDING).exists()

    def check(self) -> None:
        """Raise AssertionError unless everything here follows from Stripe's state."""
        found = differences(self)
        assert found == [], "\n".join(found)

    def prove(self) -> None:
        """Come to rest, and be right; then neither a replay nor a full sync changes a row."""
        self.come_to_rest()
        self.check()
        before = rows()
        self.replay_everything()
        assert_same(before, rows(), "replaying the whole inbox")
        self.sync_everybody()
        assert_same(before, rows(), "a full sync")
        self.check()

    def replay_everything(self) -> None:
        for event in InboxEvent.objects.order_by("-pk"):
            inbox.replay(event=event, actor="staff:sam", reason="proof", at=self.clock())
        self.work(limit=5000)
        waiting = InboxEvent.objects.filter(state=InboxState.PENDING)
        assert list(waiting.values_list("type", "attempts", "last_error")) == []

    def sync_everybody(self) -> None:
        from billing.sync import sync_customer

        for user in self.users.values():
            user.refresh_from_db()
            holder = getattr(user, "stripe_customer", None)
            if holder is not None:
                customer = holder.stripe_customer_id
                sync_customer(stripe_customer_id=customer, clock=self.clock, full=True)

    def gifts(self) -> Iterator[Given]:
        return (replace(gift) for gift, _ in self.given)


def pick(found: list[Item], which: int) -> Item | None:
    return found[which % len(found)] if found else None


def assert_same(before: dict[str, list], after: dict[str, list], deed: str) -> None:
    changed = [name for name in before if before[name] != after[name]]
    shown = [f"{name}: {row}" for name in changed for row in after[name] if row not in before[name]]
    assert changed == [], f"{deed} changed rows:\n" + "\n".join(shown)
