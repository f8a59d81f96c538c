import threading
import time

from keystore import doorbell
from keystore.correlation import bound, current_request_id
from keystore.doorbell import Doorbell

WAIT = 30


class Heard:
    """A broker that notes what it is told and answers when it is let."""

    def __init__(self):
        self.rings = []
        self.came, self.open = threading.Event(), threading.Event()

    def __call__(self, task_name):
        self.rings.append((task_name, current_request_id()))
        self.came.set()
        assert self.open.wait(WAIT)


def wait_for(condition):
    end = time.monotonic() + WAIT
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_ring_travels_with_the_request_id():
    bell, heard = Doorbell(), Heard()
    heard.open.set()
    bell.connect(heard)

    with bound("req_1"):
        bell.ring("inbox.work")

    assert heard.came.wait(WAIT)
    assert heard.rings == [("inbox.work", "req_1")]


def test_hung_broker_does_not_stop_the_caller():
    bell, heard = Doorbell(), Heard()
    bell.connect(heard)
    start = time.monotonic()

    for number in range(3000):
        bell.ring(f"task {number}")

    assert time.monotonic() - start < WAIT / 2
    assert bell._queue.qsize() <= doorbell.MOST_WAITING
    heard.open.set()


def test_ring_that_already_waits_is_not_queued_again():
    bell, heard = Doorbell(), Heard()
    bell.connect(heard)
    bell.ring("first")
    assert heard.came.wait(WAIT)

    for _ in range(5):
        bell.ring("second")
    heard.open.set()

    wait_for(lambda: len(heard.rings) == 2)
    assert bell._queue.empty()


def test_ring_during_the_work_it_asks_for_is_heard_again():
    bell, heard = Doorbell(), Heard()
    bell.connect(heard)
    bell.ring("inbox.work")
    assert heard.came.wait(WAIT)

    bell.ring("inbox.work")
    heard.open.set()

    wait_for(lambda: len(heard.rings) == 2)


def test_rings_while_the_bell_rests_are_one():
    resting, rested = threading.Event(), threading.Event()

    def rest():
        resting.set()
        assert rested.wait(WAIT)

    bell, heard = Doorbell(rest), Heard()
    heard.open.set()
    bell.connect(heard)
    bell.ring("inbox.work")
    assert resting.wait(WAIT)

    for _ in range(5):
        bell.ring("inbox.work")
    rested.set()

    wait_for(lambda: len(heard.rings) == 2)
    assert bell._queue.empty()


def test_failing_broker_does_not_end_the_bell(caplog):
    bell, heard = Doorbell(), []

    def sender(task_name):
        heard.append(task_name)
        raise ConnectionError("no broker")

    bell.connect(sender)
    bell.ring("one")
    wait_for(lambda: heard == ["one"])
    bell.ring("two")
    wait_for(lambda: heard == ["one", "two"])


def test_bell_without_a_sender_is_silent():
    Doorbell().ring("anything")
