"""Many subscriptions with planted differences: all found, named, and mended.

`make prove` plants fifty among 5,000; `bench.apart.reconcile` measures what comparing costs.
"""

import os

import pytest

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


@pytest.mark.timeout(1800)
def test_planted_differences_are_found_named_and_mended(
    shop,  # noqa: F811
    settle,  # noqa: F811
    look,  # noqa: F811
    stripe_world,  # noqa: F811
):
    crowd = many.make_crowd(shop, settle, stripe_world, SUBSCRIPTIONS)
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
