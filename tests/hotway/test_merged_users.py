"""A user who was merged is answered as the survivor before Django, too."""

import json

from billing.merging import merge_consumers
from keystore.models import Consumer
from metering.models import UsageEvent
from tests.conftest import NOON
from tests.hotway.test_entitlements import ask, refuse
from tests.hotway.test_usage import statuses, tell
from tests.metering.quota_cast import give as allow
from tests.metering.quota_cast import metered, sell


def merge(duplicate, survivor):
    merge_consumers(
        duplicate=duplicate, survivor=survivor, actor="staff:sam", reason="r", clock=lambda: NOON
    )


def test_whoever_was_merged_is_answered_as_the_survivor(hot, backend_key, alice, bob, give):
    give(alice)
    give(bob)
    door = hot()
    assert json.loads(ask(door, backend_key, "bob").body)["user_id"] == "bob"
    door.django = refuse
    merge(bob, alice)

    told = [json.loads(ask(door, backend_key, "bob").body) for _ in range(2)]

    assert [one["user_id"] for one in told] == ["alice", "alice"]
    # What changes of the survivor is told under the survivor's name alone.
    assert not [name for name in door.cache._values if name.endswith("/bob")]


def test_usage_told_under_either_name_is_the_survivors(hot, journal, backend_key, alice, bob):
    meter = metered(journal, "calls")
    for consumer in (alice, bob):
        allow(consumer, plan=sell(journal, "calls", limit=10))
    door = hot()
    for name in ("one", "two"):
        assert statuses(tell(door, backend_key, name, user_id="bob")) == ["accepted"]
    merge(bob, Consumer.objects.get(pk=alice.pk))
    door.django = refuse

    assert statuses(tell(door, backend_key, "three", user_id="bob")) == ["accepted"]

    assert UsageEvent.objects.filter(consumer=alice).count() == 3
    assert alice.quota_balances.get(meter=meter, used__gt=0).used == 3
