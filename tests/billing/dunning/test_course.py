"""When a course begins, goes on and ends, by our projections alone."""

from datetime import timedelta

import pytest
from django.core import mail
from django.db import IntegrityError, transaction

from billing.dunning.course import follow_courses, owed
from billing.dunning.mails import send_due
from billing.dunning.steps import take_due, work_dunning
from billing.models import DunningCourse, DunningPolicy, DunningStep, Invoice, Subscription
from keystore.models import OutboxMessage
from tests.billing.dunning.conftest import codes, course_of, settle
from tests.conftest import NOON
from tests.together import at_once

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def after(days):
    return NOON + days * DAY


@pytest.mark.parametrize(
    ("days", "steps"),
    [
        (0, [("day:0", "waiting")]),
        (5, [("day:0", "missed"), ("day:3", "waiting")]),
        (6.5, [("day:0", "missed"), ("day:3", "missed"), ("last", "waiting")]),
        (
            30,
            [("day:0", "missed"), ("day:3", "missed"), ("last", "missed"), ("ended", "waiting")],
        ),
    ],
)
def test_after_an_outage_only_the_latest_is_sent(course, days, steps):
    assert take_due(at=after(days)) == 1
    assert take_due(at=after(days)) == 0

    assert codes(course) == steps


@pytest.mark.parametrize(
    ("status", "facts", "outcome", "recovered"),
    [
        ("paid", {"paid_minor": 1499}, "paid", 1),
        ("paid", {}, "credited", 1),
        ("void", {}, "void", 0),
        ("uncollectible", {}, "uncollectible", 0),
    ],
)
def test_a_settled_invoice_ends_the_course(course, heard, status, facts, outcome, recovered):
    take_due(at=NOON)

    settle(course, status, **facts)

    assert (course.outcome, course.next_at) == (outcome, None)
    assert codes(course) == [("day:0", "withdrawn")]
    assert OutboxMessage.objects.filter(kind="payment.recovered").count() == recovered
    assert take_due(at=after(9)) == 0


@pytest.mark.parametrize(
    ("facts", "outcome"), [({"erased_at": NOON}, "erased"), ({"merged_into": "bob"}, "merged")]
)
def test_whoever_is_gone_is_not_written_to(course, alice, bob, facts, outcome):
    take_due(at=NOON)
    for name, value in facts.items():
        setattr(alice, name, bob if value == "bob" else value)
    alice.save()

    assert take_due(at=after(3)) == 0
    course.refresh_from_db()
    assert (course.outcome, codes(course)) == (outcome, [("day:0", "withdrawn")])


def test_the_next_renewal_that_fails_has_a_course_of_its_own(course, alice):
    take_due(at=NOON)
    row = Subscription.objects.get()
    row.current_period_start = after(31)
    row.save()
    Invoice.objects.create(
        project=alice.project, consumer=alice, stripe_invoice_id="in_2", status="open",
        stripe_subscription_id="sub_1", currency="usd", total_minor=1499, paid_minor=0,
        created_at=after(31), synced_at=after(31),
    )  # fmt: skip

    follow_courses(consumer=alice, at=after(31))
    follow_courses(consumer=alice, at=after(32))

    outcomes = DunningCourse.objects.order_by("pk").values_list("outcome", "failed_at")
    assert list(outcomes) == [("superseded", NOON), ("", after(31))]


def test_when_a_newer_renewal_is_paid_the_old_debt_is_not_reminded_of(course, alice):
    Subscription.objects.update(status="active")

    follow_courses(consumer=alice, at=after(2))

    course.refresh_from_db()
    assert (course.outcome, take_due(at=after(3))) == ("superseded", 0)


@pytest.mark.parametrize("status", ["active", "trialing", "incomplete", "canceled", "paused"])
def test_nothing_begins_unless_a_renewal_failed(course, alice, status):
    DunningStep.objects.all().delete()
    DunningCourse.objects.all().delete()
    Subscription.objects.update(status=status)

    follow_courses(consumer=alice, at=NOON)

    assert not DunningCourse.objects.exists()


def test_an_unpaid_subscription_has_no_access_left_and_hears_of_its_end_alone(journal, alice, pro):
    course = course_of(alice, pro)
    Subscription.objects.update(status="unpaid")
    follow_courses(consumer=alice, at=after(2))

    take_due(at=after(2))

    course.refresh_from_db()
    assert course.access_until == after(2)
    assert codes(course)[-1] == ("ended", "waiting")


def test_a_project_that_switched_reminders_off_mails_nobody(course, journal):
    DunningPolicy.objects.create(project=journal, enabled=False)

    assert [take_due(at=after(days)) for days in (0, 3, 6, 7)] == [0, 0, 0, 1]
    assert codes(course) == [("ended", "silent")]


def test_a_customer_without_an_address_has_a_course_all_the_same(course, alice):
    alice.email = ""
    alice.save()

    take_due(at=NOON)

    assert course.steps.get().note == "no address is known"


def test_a_step_cannot_be_there_twice(course):
    take_due(at=NOON)
    step = course.steps.get()
    step.pk, step.public_id = None, "dst_2"

    with pytest.raises(IntegrityError), transaction.atomic():
        step.save(force_insert=True)


@pytest.mark.parametrize(("remaining", "shown"), [(None, 1499), (0, 0), (1000, 1000)])
def test_what_is_owed_is_what_credit_leaves(course, remaining, shown):
    assert owed(Invoice(total_minor=1499, paid_minor=0, remaining_minor=remaining)) == shown


@pytest.mark.django_db(transaction=True)
def test_sweepers_at_once_send_one_mail(course):
    def sweep():
        return work_dunning(clock=lambda: NOON)

    assert sum(at_once(sweep, times=4)) == 1
    assert send_due(clock=lambda: NOON) == 0
    assert (codes(course), len(mail.outbox)) == ([("day:0", "sent")], 1)
