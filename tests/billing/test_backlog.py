"""More events of one customer than one sync serves."""

import pytest

from billing import inbox, receipt
from billing.customers import ensure_customer
from billing.models import InboxEvent
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_long_backlog_is_worked_off_without_waiting(alice, stripe_world, clock, monkeypatch):
    monkeypatch.setattr(inbox, "MOST_TOGETHER", 2)
    customer = ensure_customer(consumer=alice, actor="system", at=NOON).stripe_customer_id
    for number in range(5):
        event = {"id": f"evt_{number}", "object": "event", "type": "customer.updated"}
        event["livemode"] = False
        event["data"] = {"object": {"id": customer, "object": "customer"}}
        receipt.keep(event=event, at=NOON)

    worked = inbox.work_due(clock=clock)

    assert worked == 5
    assert set(InboxEvent.objects.values_list("state", flat=True)) == {"done"}
