"""The largest and oddest that is taken stops nobody: not the request, not the roll-up."""

import random
import string

import pytest

from config.clock import now
from metering import rebuild, rollup
from metering.models import QuotaBalance, UsageTotal
from tests.metering.quota_cast import give, metered, sell
from tests.metering.test_events_api import event, statuses, tell

# The fence leaves out what an open transaction wrote, as a test's own would be.
pytestmark = pytest.mark.django_db(transaction=True)
NEARLY_TOO_MUCH = "9" * 26
TAKEN = ("accepted", "")


def incompressible(length):
    return "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=length))


def totals(grain="hour"):
    rollup.roll_up(clock=now)
    return list(UsageTotal.objects.filter(grain=grain).order_by("id"))


def test_largest_quantities_add_up(api, journal, alice):
    journal.meters.create(code="tokens")
    told = [event(n, quantity=NEARLY_TOO_MUCH) for n in range(3)]
    assert statuses(tell(api, *told)) == [TAKEN] * 3
    assert [total.quantity for total in totals()] == [3 * int(NEARLY_TOO_MUCH)]


def test_largest_quantities_add_up_against_a_limit(api, journal, alice):
    metered(journal)
    give(alice, plan=sell(journal, "tokens", limit=None))
    told = [event(n, quantity=NEARLY_TOO_MUCH) for n in range(3)]
    assert statuses(tell(api, *told)) == [TAKEN] * 3
    assert QuotaBalance.objects.get().used == 3 * int(NEARLY_TOO_MUCH)


@pytest.mark.parametrize("kind", ["sum", "unique"])
def test_dimension_longer_than_an_index_can_hold_is_totalled(api, journal, alice, kind):
    unique = {"aggregation": "unique", "value_property": "who"} if kind == "unique" else {}
    journal.meters.create(code="tokens", dimensions=["model"], **unique)
    long = incompressible(3_900)
    for n, model in enumerate((long, long, long + "x")):
        told = event(n, properties={"model": model, "who": "me"})
        assert statuses(tell(api, told)) == [TAKEN]
    assert [(total.dims["model"], total.events) for total in totals()] == [
        (long, 2),
        (long + "x", 1),
    ]
    assert rebuild.prove_totals().differences == []
