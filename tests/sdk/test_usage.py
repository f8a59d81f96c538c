"""What is recorded is counted once, whatever the wire and the process do."""

import asyncio

import pytest
from latchkey_client import AsyncLatchkey, BufferFull, Latchkey, Unreachable, usage_meter
from latchkey_client.policy import Retries
from latchkey_client.usage import usage_event

from metering.models import UsageEvent

FAST = Retries(tries=3, first_seconds=0)
NEVER = 3600  # seconds between flushes: only the test flushes


@pytest.fixture
def meter(journal):
    return journal.meters.create(code="tokens", dimensions=["model"])


@pytest.fixture
def make(wire, app_key):
    def make_one(**options):
        return Latchkey(wire.url, app_key, **{"retries": FAST, "flush_seconds": NEVER, **options})

    return make_one


def told():
    return sorted(UsageEvent.objects.values_list("quantity", flat=True))


def test_recorded_usage_is_sent_in_one_request(make, meter, alice, wire):
    with make() as client:
        for number in range(1, 4):
            client.usage.record("tokens", "alice", number, properties={"model": "small"})
        assert client.usage.flush() == 3
    assert told() == [1, 2, 3]
    assert wire.asked == ["POST /api/v1/usage/events"]


def test_usage_is_sent_by_itself(make, meter, alice):
    client = make(flush_seconds=0.01)
    client.usage.record("tokens", "alice", 5)
    client.close()
    assert told() == [5]


def test_lost_reply_counts_once(make, meter, alice, wire):
    wire.plan = ["drop", "drop"]
    with make() as client:
        client.usage.record("tokens", "alice", 5)
        client.usage.flush()
    assert told() == [5]
    assert len(wire.asked) == 3


def test_usage_waits_while_the_service_is_gone(make, meter, alice, wire):
    client = make(retries=Retries(tries=1))
    client.usage.record("tokens", "alice", 5)
    wire.plan = ["503"]
    with pytest.raises(Unreachable):
        client.usage.flush()
    assert len(client.usage) == 1
    client.close()
    assert told() == [5]


def test_spooled_usage_outlives_the_process(make, meter, alice, wire, tmp_path):
    spool = tmp_path / "usage.db"
    first = make(spool=spool, retries=Retries(tries=1))
    first.usage.record("tokens", "alice", 5)
    wire.plan = ["drop", "refuse"]  # counted, and nobody heard of it
    with pytest.raises(Unreachable):
        first.usage.flush()
    first.close()
    second = make(spool=spool)
    assert len(second.usage) == 1
    second.usage.flush()
    second.close()
    assert told() == [5]


def test_full_buffer_says_so_and_forgets_nothing(make, meter, alice):
    with make(buffer_size=2) as client:
        client.usage.record("tokens", "alice", 1)
        client.usage.record("tokens", "alice", 2)
        with pytest.raises(BufferFull):
            client.usage.record("tokens", "alice", 3)
    assert told() == [1, 2]


def test_rejected_usage_is_told_and_keeps_back_nothing_else(make, meter, alice):
    rejected = []
    with make(on_rejected=rejected.append) as client:
        client.usage.record("tokens", "alice", 1)
        client.usage.record("no_such_meter", "alice", 2)
        client.usage.record("tokens", "alice", 3)
        client.usage.flush()
    assert told() == [1, 3]
    assert [receipt.status for receipt in rejected] == ["rejected"]


def test_single_event_tells_what_became_of_it(make, meter, alice):
    with make() as client:
        event = usage_event("tokens", "alice", "2.5", event_id="one")
        assert [receipt.status for receipt in client.record_now([event])] == ["accepted"]
        assert [receipt.status for receipt in client.record_now([event])] == ["duplicate"]
        other = usage_event("tokens", "alice", "3.5", event_id="one")
        assert [receipt.status for receipt in client.record_now([other])] == ["conflict"]


def test_float_is_refused():
    with pytest.raises(TypeError, match="not exact"):
        usage_event("tokens", "alice", 0.1)


def test_seed_names_record_and_check(make, journal, alice, give):
    give(alice, "tokens", limit=1000)
    journal.meters.create(code="tokens", feature=journal.features.get(code="tokens"))
    with make() as client:
        assert usage_meter.check_token_quota(client, "alice", requested_tokens=1000) == (True, None)
        usage_meter.record_token_usage(client, "alice", tokens=500, metadata={"model": "small"})
        client.usage.flush()
        allowed, error = usage_meter.check_token_quota(client, "alice", requested_tokens=501)
        assert not allowed
        assert error
        assert usage_meter.check_token_quota(client, "alice", requested_tokens=500)[0]


def test_reservation_is_settled_with_what_was_used(make, journal, alice, give):
    give(alice, "tokens", limit=10)
    journal.meters.create(code="tokens", feature=journal.features.get(code="tokens"))
    with make() as client:
        held = client.reserve("alice", "tokens", 8)
        assert client.quota("alice")[0].remaining == 2
        client.settle(held.id, 3)
        assert client.quota("alice")[0].used == 3
        client.release(client.reserve("alice", "tokens", 7).id)
        assert client.quota("alice")[0].remaining == 7


def test_asyncio_client_records_the_same(wire, app_key, meter, alice):
    async def record():
        async with AsyncLatchkey(wire.url, app_key, retries=FAST, flush_seconds=0.01) as client:
            for number in range(1, 4):
                client.usage.record("tokens", "alice", number)

    wire.plan = ["drop"]
    asyncio.run(record())
    assert told() == [1, 2, 3]
