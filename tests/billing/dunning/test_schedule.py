"""Which steps a course has: pure rules."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from billing.dunning.schedule import Planned, due_of, plan_of
from billing.models import StepKind
from tests.conftest import NOON


def terms(**changes):
    usual = {"enabled": True, "reminder_days": [0, 3, 7], "last_reminder_hours": 24}
    return SimpleNamespace(**{**usual, **changes})


def planned(*, grace=timedelta(days=7), **changes):
    plan = plan_of(terms=terms(**changes), failed_at=NOON, access_until=NOON + grace)
    return [(one.code, (one.due_at - NOON) / timedelta(days=1)) for one in plan]


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, [("day:0", 0), ("day:3", 3), ("last", 6), ("ended", 7)]),
        ({"last_reminder_hours": 0}, [("day:0", 0), ("day:3", 3), ("ended", 7)]),
        ({"reminder_days": [5, 1, 1]}, [("day:1", 1), ("day:5", 5), ("last", 6), ("ended", 7)]),
        ({"reminder_days": []}, [("last", 6), ("ended", 7)]),
        ({"enabled": False}, [("ended", 7)]),
        ({"grace": timedelta(hours=5)}, [("day:0", 0), ("ended", 5 / 24)]),
        ({"grace": timedelta(0)}, [("ended", 0)]),
        ({"grace": timedelta(days=-3)}, [("ended", 0)]),
    ],
)
def test_the_steps_of_a_course(changes, steps):
    assert planned(**changes) == steps


def test_the_first_is_no_reminder_and_the_others_are_counted():
    plan = plan_of(terms=terms(), failed_at=NOON, access_until=NOON + timedelta(days=7))

    assert [(one.kind, one.number) for one in plan] == [
        (StepKind.FAILED, 0),
        (StepKind.REMINDER, 1),
        (StepKind.LAST, 2),
        (StepKind.ENDED, 0),
    ]


def test_a_reminder_put_in_before_one_that_was_taken_is_not_made_up_for():
    plan = plan_of(
        terms=terms(reminder_days=[0, 2, 3]),
        failed_at=NOON,
        access_until=NOON + timedelta(days=7),
    )
    taken = [Planned("day:0", StepKind.FAILED, 0, NOON)]
    taken.append(Planned("day:3", StepKind.REMINDER, 1, NOON + timedelta(days=3)))

    assert due_of(plan, taken=taken, at=NOON + timedelta(days=4)) == []
    late = NOON + timedelta(days=30)
    assert [one.code for one in due_of(plan, taken=taken, at=late)] == ["last", "ended"]
