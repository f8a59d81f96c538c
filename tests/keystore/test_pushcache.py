"""What is held in memory, and when it is not."""

from threading import Thread

import pytest
from django.db import connections, transaction

from keystore.changebus import EVERYTHING, BusDown, ChangeBus
from keystore.pushcache import (
    LEASE_SECONDS,
    QUIET_SECONDS,
    RENEWED_BEFORE_SECONDS,
    REST_SECONDS,
    PushCache,
)


class Bus:
    """Says what a test wants it to have heard."""

    def __init__(self):
        self.notified, self.logged, self.asked, self.is_down = [], [], 0, False

    def drain(self):
        return self._heard("notified")

    def catch_up(self):
        self.asked += 1
        return self._heard("logged")

    def close(self):
        self.is_closed = True

    def _heard(self, where):
        if self.is_down:
            raise BusDown("cut off")
        heard = getattr(self, where)
        setattr(self, where, [])
        return heard


class Thing:
    """A value that depends on a key and an app."""

    tags = ("k1", "a1")
    size = 100


class Clock:
    """Goes on far enough between two questions for the second to be heard."""

    now = 1000.0
    step = QUIET_SECONDS

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def bus():
    return Bus()


@pytest.fixture
def cache(bus, clock):
    made = PushCache(most_bytes=10_000, connect=lambda: bus, clock=clock)
    assert made.is_fresh()
    return made


def hold(cache, name="c1/alice", value=b"yes"):
    cache.put(cache.ticket(), name, value)


def test_what_was_put_is_found(cache):
    hold(cache)

    assert cache.is_fresh()
    assert cache.get("c1/alice") == b"yes"


def test_notification_drops_its_name_alone(cache, bus):
    hold(cache)
    hold(cache, "c1/bob")
    bus.notified = ["c1/alice"]

    assert cache.is_fresh()
    assert (cache.get("c1/alice"), cache.get("c1/bob")) == (None, b"yes")


def test_lease_finds_what_no_notification_told(cache, bus, clock):
    hold(cache)
    bus.logged = ["c1/alice"]
    assert cache.is_fresh()
    assert cache.get("c1/alice") == b"yes"
    clock.now += LEASE_SECONDS

    assert cache.is_fresh()
    assert cache.get("c1/alice") is None


def test_log_is_asked_once_in_a_lease(cache, bus, clock):
    asked = bus.asked
    for _ in range(10):
        cache.is_fresh()
    assert bus.asked == asked
    clock.now += LEASE_SECONDS

    assert cache.is_fresh()
    assert bus.asked == asked + 1


def test_lease_is_renewed_before_others_have_to_wait_for_it(cache, bus, clock):
    asked = bus.asked
    clock.now += LEASE_SECONDS - RENEWED_BEFORE_SECONDS

    assert cache.is_fresh()
    assert bus.asked == asked + 1


def test_two_that_come_at_once_listen_once(cache, bus, clock):
    clock.step = 0.0
    assert cache.is_fresh()
    hold(cache)
    bus.notified = ["c1/alice"]

    assert cache.is_fresh()
    assert cache.get("c1/alice") == b"yes"
    clock.now += QUIET_SECONDS
    assert cache.is_fresh()
    assert cache.get("c1/alice") is None


def test_nobody_waits_for_the_one_who_listens_while_the_lease_lasts(cache, bus, clock):
    asked = bus.asked
    with cache._lock:
        clock.now += LEASE_SECONDS / 2
        assert cache.is_fresh()
    assert bus.asked == asked


def test_after_the_lease_everybody_waits_for_the_one_who_listens(cache, bus, clock):
    clock.now += LEASE_SECONDS
    answers = []
    with cache._lock:
        late = Thread(target=lambda: answers.append((cache.is_fresh(), bus.asked)))
        late.start()
        late.join(0.2)
        assert answers == []
    late.join(5)

    assert answers == [(True, 2)]


def test_value_goes_with_anything_that_it_depends_on(cache, bus):
    hold(cache, "t1", Thing())
    bus.notified = ["a1"]
    cache.is_fresh()

    assert len(cache) == 0


def test_value_read_before_a_change_is_not_kept(cache, bus):
    ticket = cache.ticket()
    bus.notified = ["c1/alice"]
    cache.is_fresh()
    cache.put(ticket, "c1/alice", b"from before")

    assert cache.get("c1/alice") is None


def test_value_is_not_kept_without_a_bus(cache, bus):
    ticket = cache.ticket()
    bus.is_down = True
    assert not cache.is_fresh()
    cache.put(ticket, "c1/alice", b"from before")

    assert len(cache) == 0
    assert cache.ticket() is None


def test_lost_bus_costs_everything(cache, bus, clock):
    hold(cache)
    bus.is_down = True
    assert not cache.is_fresh()
    bus.is_down = False

    assert not cache.is_fresh()
    clock.now += REST_SECONDS
    assert cache.is_fresh()
    assert len(cache) == 0


def test_everything_may_be_told_to_go(cache, bus):
    hold(cache)
    bus.notified = [EVERYTHING]
    cache.is_fresh()

    assert len(cache) == 0


def test_memory_is_bounded_and_the_oldest_goes_first(cache):
    for number in range(100):
        hold(cache, f"c1/{number}", b"x" * 250)

    assert len(cache) == 20
    assert cache.get("c1/79") is None
    assert cache.get("c1/80") is not None


def test_forked_child_begins_anew(cache):
    hold(cache)
    cache._reset()

    assert len(cache) == 0
    assert cache.ticket() is None


# --- The bus over real tables -------------------------------------------------------------------


@pytest.fixture
def real_bus(transactional_db):
    bus = ChangeBus()
    assert bus.catch_up() == [EVERYTHING]
    yield bus
    bus.close()


def test_change_of_a_key_is_told_both_ways(journal, alice, real_bus):
    key = journal.keys.create(consumer=alice, digest="0" * 64)
    assert real_bus.catch_up() == []
    journal.keys.update(name="laptop")

    assert real_bus.catch_up() == [f"k{key.pk}"]
    assert real_bus.drain() == [f"k{key.pk}"]
    assert real_bus.catch_up() == []


def test_last_use_of_a_key_is_no_change(journal, alice, real_bus):
    from config.clock import now

    journal.keys.create(consumer=alice, digest="0" * 64)
    journal.keys.update(last_used_at=now())

    assert real_bus.catch_up() == []


def test_consumer_is_told_of_by_both_its_names(journal, alice, real_bus):
    alice.external_id = "alicia"
    alice.save()

    names = [f"c{journal.pk}/alice", f"c{journal.pk}/alicia"]
    assert sorted(real_bus.catch_up()) == names


def test_commit_that_came_late_is_not_missed(journal, alice, bob, real_bus, postgres_connection):
    with postgres_connection.transaction():
        named = "update keystore_consumer set name = 'a' where external_id = 'alice'"
        postgres_connection.execute(named)
        bob.delete()
        assert real_bus.catch_up() == [f"c{journal.pk}/bob"]

    assert real_bus.catch_up() == [f"c{journal.pk}/alice"]


def test_change_that_was_undone_is_not_told(alice, real_bus):
    with transaction.atomic():
        alice.delete()
        transaction.set_rollback(True)

    assert real_bus.catch_up() == []


def test_very_many_changes_are_told_as_one(journal, real_bus):
    from keystore.models import Consumer

    journal.consumers.bulk_create(Consumer(project=journal, external_id=str(n)) for n in range(600))
    journal.consumers.update(name="a")

    assert real_bus.catch_up() == [EVERYTHING]


def test_bus_says_so_when_its_connection_is_cut(real_bus, postgres_connection):
    pid = real_bus._connection.backend_pid
    postgres_connection.execute("select pg_terminate_backend(%s, 5000)", [pid])

    with pytest.raises(BusDown):
        real_bus.catch_up()


def test_log_forgets_what_everybody_has_heard(journal, alice, db):
    from datetime import timedelta

    from config.clock import now
    from keystore.changelog import KEPT, forget_old_changes

    alice.delete()
    assert forget_old_changes(at=now()) == 0
    with connections["default"].cursor() as cursor:
        cursor.execute("update keystore_change set horizon = '9223372036854775807'")

    assert forget_old_changes(at=now() + KEPT + timedelta(seconds=1)) == 1
