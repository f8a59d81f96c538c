"""Whatever the order, number and loss of events, what is true here follows from Stripe's state."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.scenarios.world import CARDS, USERS, World

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = {"": 10, "long": 300}
users = st.sampled_from(USERS)
numbers = st.integers(0, 5)
orders = st.randoms(use_true_random=False)
amounts = st.sampled_from([1, 400, 900, 1499, 9900])


class Events(RuleBasedStateMachine):
    """Rules make changes at Stripe, lose and shuffle what it tells, and let us work."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def teardown(self) -> None:
        try:
            self.world.prove()
        finally:
            self.world.close()

    @initialize(user=users, price=numbers, other=numbers)
    def open_the_day(self, user, price, other):
        self.world.buy(user, price)
        self.world.subscribe(user, other)

    @rule(user=users, price=numbers, card=st.sampled_from(CARDS))
    def buy(self, user, price, card):
        self.world.buy(user, price, card)

    @rule(user=users, price=numbers)
    def check_out(self, user, price):
        self.world.check_out(user, price)

    @rule(which=numbers)
    def pay_an_old_page(self, which):
        self.world.pay(which)

    @rule(which=numbers)
    def come_back(self, which):
        self.world.come_back(which)

    @rule(user=users, price=numbers)
    def subscribe_in_the_dashboard(self, user, price):
        self.world.subscribe(user, price)

    @rule(
        deed=st.sampled_from(
            ["cancel", "cancel_at_period_end", "uncancel", "change_price", "pause", "resume"]
        ),
        which=numbers,
    )
    def change_a_subscription(self, deed, which):
        getattr(self.world, deed)(which)

    @rule(which=numbers, name=st.sampled_from(["chargeCustomerFail", "visa"]))
    def give_a_card(self, which, name):
        self.world.give_card(which, name)

    @rule(which=numbers, amount=st.none() | amounts)
    def refund_at_stripe(self, which, amount):
        self.world.refund_at_stripe(which, amount)

    @rule(which=numbers, amount=amounts)
    def refund_here(self, which, amount):
        self.world.refund_here(which, amount)

    @rule(which=numbers)
    def delete_a_customer(self, which):
        self.world.delete_customer(which)

    @rule(days=st.sampled_from([1, 4, 8, 20]))
    def pass_time(self, days):
        self.world.pass_time(days=days)

    @rule(user=users, days=st.sampled_from([None, 3]))
    def give_a_feature(self, user, days):
        self.world.give(user, days)

    @rule(which=numbers)
    def take_it_back(self, which):
        self.world.take_back(which)

    @rule(order=orders, count=st.sampled_from([1, 3, 100]))
    def deliver(self, order, count):
        self.world.deliver(order, count)

    @rule(order=orders, count=st.sampled_from([1, 5]))
    def deliver_again(self, order, count):
        self.world.deliver_again(order, count)

    @rule(order=orders, count=st.sampled_from([1, 3, 100]))
    def lose(self, order, count):
        self.world.lose(order, count)

    @rule(limit=st.sampled_from([1, 500]))
    def work(self, limit):
        self.world.work(limit)

    @rule(times=st.sampled_from([1, 3]))
    def work_while_stripe_stumbles(self, times):
        self.world.work_while_stripe_stumbles(times)

    @rule()
    def fetch_missed_events(self):
        self.world.fetch()

    @rule()
    def sweep(self):
        self.world.sweep()


def explore(**more):
    """The suite's examples are the same each time; `HYPOTHESIS_PROFILE=long` looks further."""
    profile = os.environ.get("HYPOTHESIS_PROFILE", "")
    asked = {
        "max_examples": EXAMPLES[profile],
        "stateful_step_count": 20,
        "deadline": None,
        "database": None,
        "derandomize": not profile,
        "suppress_health_check": list(HealthCheck),
        "phases": [Phase.generate, Phase.shrink] if profile else [Phase.generate],
        "print_blob": bool(profile),
    }
    run_state_machine_as_test(Events, settings=settings(**{**asked, **more}))


@pytest.mark.slow
@pytest.mark.timeout(7200 if os.environ.get("HYPOTHESIS_PROFILE") else 900)
def test_the_final_state_is_stripe_s_whatever_came_and_did_not():
    explore()
