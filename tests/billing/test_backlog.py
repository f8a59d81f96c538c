"""Many events of one customer are worked off in one round."""

import pytest

from billing import inbox, receipt
from billing.customers import ensure_customer
from billing.models import InboxEvent
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


def hear(customer, *, times):
    for number in range(times):
        event = {"id": f"evt_{number}", "object": "event", "type": "customer.updated"}
        event["livemode"] = False
        event["data"] = {"object": {"id": customer, "object": "customer"}}
        receipt.keep(event=event, at=NOON)


def states():
    return list(InboxEvent.objects.values_list("state", flat=True))


def test_a_long_backlog_is_worked_off_without_waiting(alice, stripe_world, clock, monkeypatch):
    monkeypatch.setattr(inbox, "MOST_TOGETHER", 2)
    customer = ensure_customer(consumer=alice, actor="system", at=NOON).stripe_customer_id
    hear(customer, times=5)

    assert inbox.work_due(clock=clock) == 5
    assert states() == ["done"] * 5


def test_events_of_a_stranger_do_not_wait_for_each_other(stripe_world, clock):
    hear("cus_of_nobody_here", times=3)

    assert inbox.work_due(clock=clock) == 3
    assert states() == ["ignored"] * 3
