"""Many subscriptions with planted differences: all found, named, and mended.

`make prove` plants fifty among 5,000; `make bench` prints what 100,000 without any cost us.
"""

import os
import resource
import time

import pytest

from billing import gateway
from billing.models import Drift, StripeCustomer
from tests.billing.conftest import clock, pro, pro_monthly, stripe_world  # noqa: F401
from tests.billing.reconciliation import many, test_compare
from tests.billing.reconciliation.conftest import look, settle, shop  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SUBSCRIPTIONS = int(os.environ.get("RECONCILED", "60"))
PLANTS = (
    "subscription_missing",
    "status_differs",
    "period_differs",
    "payment_missing",
    "payment_differs",
    "invoice_differs",
    "grant_window_differs",
    "key_missing",
    "key_limit_differs",
    "ledger_differs",
)
OF_EACH = 5 if SUBSCRIPTIONS >= 50 * 5 else 1
PLANTED = len(PLANTS) * OF_EACH


@pytest.fixture
def crowd(shop, settle, stripe_world):  # noqa: F811
    """SUBSCRIPTIONS copies of one subscriber in our tables; how to copy them at Stripe too."""
    shop.sell_to("alice")
    settle()
    holder = shop.holders["alice"]
    objects = many.template_of(stripe_world, holder)
    names, _ = many.names_of(holder, objects)
    many.copy_rows(holder, names, SUBSCRIPTIONS)
    return objects, names


@pytest.mark.timeout(1800)
def test_planted_differences_are_found_named_and_mended(
    shop,  # noqa: F811
    crowd,
    look,  # noqa: F811
    stripe_world,  # noqa: F811
):
    many.copy_at_stripe(stripe_world, *crowd, SUBSCRIPTIONS)
    assert look().found == 0
    expected = set()
    for number in range(1, PLANTED + 1):
        name = f"alice{many.tail(number * (SUBSCRIPTIONS // PLANTED))}"
        shop.holders[name] = StripeCustomer.objects.get(consumer__external_id=name)
        plant = test_compare.PLANTED[PLANTS[number % len(PLANTS)]]
        expected |= {(name, *one) for one in plant(shop, name)}

    found = look()
    rows = Drift.objects.filter(run=found)
    assert set(rows.values_list("consumer__external_id", "kind", "field")) == expected
    assert (len(expected), rows.values("kind").distinct().count()) == (PLANTED, len(PLANTS))

    mended = look(repair=["all"])
    assert (mended.found, mended.repaired) == (PLANTED, PLANTED)
    assert look().found == 0


@pytest.mark.skipif("RECONCILED" not in os.environ, reason="a measurement: make bench")
@pytest.mark.timeout(1800)
def test_figures(shop, crowd, look, settings):  # noqa: F811
    objects, names = crowd
    lists = many.Lists(objects, names, SUBSCRIPTIONS)
    gateway.connect(lists)
    settings.RECONCILIATION_REQUESTS_PER_SECOND = 1_000_000.0
    StripeCustomer.objects.filter(consumer__external_id="alice").update(deleted_at=shop.clock())
    shop.subscription("alice").delete()
    cpu, wall = time.process_time(), time.perf_counter()

    run = look()

    ours = time.process_time() - cpu - lists.cpu_seconds
    wall = time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(  # noqa: T201
        f"\nReconcile {SUBSCRIPTIONS:,} subscriptions: {ours:.1f} s of our CPU, {wall:.1f} s "
        f"wall without Stripe's pace, {lists.pages:,} pages, {run.compared:,} objects, "
        f"{run.found} differences, peak {peak} MB ({run.state})"
    )
    assert run.state == "done"
