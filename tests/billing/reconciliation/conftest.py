"""A shop whose books are right, and the means to put them wrong."""

import pytest

from tests.conftest import NOON


def at_stripe(path, _method="post", **params):
    """What somebody does at Stripe without us."""
    from billing import gateway

    at_stripe.count += 1
    return gateway.write(
        path, params, idempotency_key=f"test:{at_stripe.count}:{path}", method=_method
    )


at_stripe.count = 0


def customer_with_card(consumer):
    from billing.customers import ensure_customer

    holder = ensure_customer(consumer=consumer, actor="system", at=NOON)
    card = at_stripe("/v1/payment_methods/pm_card_visa/attach", customer=holder.stripe_customer_id)
    at_stripe(
        f"/v1/customers/{holder.stripe_customer_id}",
        invoice_settings={"default_payment_method": card["id"]},
    )
    return holder


class Shop:
    """What journal sold, and what our books say of it."""

    def __init__(self, project, price, clock):
        self.project, self.price, self.clock = project, price, clock
        self.holders = {}

    def sell_to(self, *names):
        """A subscription for each, which we have heard of."""
        for name in names:
            consumer = self.project.consumers.create(external_id=name)
            self.holders[name] = customer_with_card(consumer)
            at_stripe(
                "/v1/subscriptions",
                customer=self.holders[name].stripe_customer_id,
                items=[{"price": self.price.stripe_price_id}],
            )
            self.sync(name)

    def sync(self, name):
        from billing.sync import sync_customer

        customer_id = self.holders[name].stripe_customer_id
        sync_customer(stripe_customer_id=customer_id, clock=self.clock, full=True)

    def subscription(self, name):
        from billing.models import Subscription

        return Subscription.objects.get(consumer=self.holders[name].consumer)

    def payment(self, name):
        from billing.models import Payment

        return Payment.objects.get(consumer=self.holders[name].consumer)

    def change(self, row, **values):
        """What no code of ours does: write to a table by hand."""
        type(row).objects.filter(pk=row.pk).update(**values)


@pytest.fixture
def shop(journal, pro_monthly, clock, settings):
    """Stripe may be asked as fast as we like."""
    settings.RECONCILIATION_REQUESTS_PER_SECOND = 10_000.0
    return Shop(journal, pro_monthly, clock)


@pytest.fixture
def settle(clock):
    """Let an hour pass: what was made until now is old enough to be compared."""
    from billing.models import StripeCustomer

    def wait():
        StripeCustomer.objects.update(created_at=NOON)
        clock.advance(hours=1)

    return wait


@pytest.fixture
def look(clock):
    """Run a comparison to its end: `look(repair=["all"])` mends what it finds."""
    from billing.models import ReconciliationRun, RunMode
    from billing.reconciliation.runs import start_run
    from billing.reconciliation.work import work_reconciliations

    def run(*, repair=(), project=None, days_back=None, at_most=50):
        started = start_run(
            project=project,
            mode=RunMode.REPAIR if repair else RunMode.DRY_RUN,
            repair_kinds=repair,
            days_back=days_back,
            actor="staff:sam",
            at=clock(),
        )
        for _ in range(at_most):
            work_reconciliations(clock=clock)
            started.refresh_from_db()
            if started.finished_at:
                break
            clock.advance(seconds=30)
        return ReconciliationRun.objects.get(pk=started.pk)

    return run
