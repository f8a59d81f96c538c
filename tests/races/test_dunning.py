"""A reminder is due in the same moment in which Stripe says something new: neither stops the
other.
"""

import time
from threading import Event, Thread
from unittest.mock import patch

import pytest
from django.db import connection, connections, transaction

from billing.dunning.course import locked
from billing.dunning.steps import take_due
from billing.models import DunningCourse
from tests.billing.dunning.conftest import FAILED, UNTIL, failed, heard  # noqa: F401
from tests.billing.subscribers import follow

pytestmark = pytest.mark.django_db(transaction=True)
WAITING = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


def is_waited_for():
    with connection.cursor() as cursor:
        for _ in range(500):
            cursor.execute(WAITING)
            if cursor.fetchone()[0]:
                return True
            time.sleep(0.01)
    return False


class Sweeper(Thread):
    """Takes a step of the course while somebody else already waits for the course."""

    def __init__(self, course, at):
        super().__init__()
        self.course, self.at = course, at
        self.holds = Event()
        self.error, self.was_waited_for = None, False

    def run(self):
        try:
            with transaction.atomic():
                assert locked(self.course.pk)
                self.holds.set()
                self.was_waited_for = is_waited_for()
                assert take_due(at=self.at) == 1
        except BaseException as error:  # noqa: BLE001  looked at by the test's own thread
            self.error = error
        finally:
            connections.close_all()


@pytest.mark.parametrize(
    ("at", "suspended"), [(FAILED, False), (UNTIL, True)], ids=["a reminder", "the end of access"]
)
def test_a_step_and_a_sync_let_each_other_through(failed, alice, clock, at, suspended):  # noqa: F811
    DunningCourse.objects.update(next_at=at)
    clock.at = at
    sweeper = Sweeper(DunningCourse.objects.get(), at)
    with patch("keystore.locking.TRIES", 1):  # not by trying again
        sweeper.start()
        assert sweeper.holds.wait(10)
        follow(alice.stripe_customer, clock)
        sweeper.join()

    assert (sweeper.error, sweeper.was_waited_for) == (None, True)
    taken = DunningCourse.objects.get().steps.values_list("code", flat=True)
    assert (("ended" if suspended else "day:0") in taken, "ended" in taken) == (True, suspended)
