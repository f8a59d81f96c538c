"""Several at once on real connections: the consumer's lock puts them in a row."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event
from time import sleep

import orjson
import pytest
from django.db import connection, transaction

from config.errors import IdempotencyConflict
from entitlements.answers import answer_body
from entitlements.facts import facts_of
from entitlements.models import Answer, Grant, PlanFeature
from entitlements.selectors import answer_of
from entitlements.services import refresh_plan_answers
from tests.conftest import NOON
from tests.entitlements.deeds import DAY, MONTH, give, revoke, subscribe

pytestmark = pytest.mark.django_db(transaction=True)
SECOND = timedelta(seconds=1)


def at_once(*deeds):
    """Run the deeds in threads that start together; their results, errors included."""
    barrier = Barrier(len(deeds))

    def run(deed):
        try:
            barrier.wait()
            return deed()
        except IdempotencyConflict as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(run, deeds))


def assert_answer_is_right(consumer, at=NOON):
    stored = Answer.objects.get(consumer=consumer)
    assert stored.body == answer_body(consumer, facts_of(consumer=consumer), at, stored.version)


def test_eight_requests_with_one_key_make_one_grant(alice, labs):
    made = at_once(*[lambda: give(alice, feature=labs)] * 8)

    assert {grant.pk for grant in made} == {Grant.objects.get().pk}
    assert Answer.objects.get().version == 1


def test_of_two_wishes_with_one_key_one_is_refused(alice, labs, export):
    wishes = [lambda: give(alice, feature=labs), lambda: give(alice, feature=export)]

    made = at_once(*wishes * 4)

    assert Grant.objects.count() == 1
    assert sum(isinstance(one, IdempotencyConflict) for one in made) == 4


def test_two_syncs_of_one_subscription_make_one_grant(alice, pro):
    made = at_once(*[lambda: subscribe(alice, pro)] * 8)

    assert (sorted(made), Grant.objects.count()) == ([False] * 7 + [True], 1)
    assert_answer_is_right(alice)


def test_changes_of_many_sources_at_once_are_all_in_the_answer(alice, pro, labs):
    def of(number):
        return lambda: subscribe(alice, pro, ref=f"sub_{number}")

    at_once(*[of(number) for number in range(7)], lambda: give(alice, feature=labs))

    answer = Answer.objects.get()
    assert (answer.version, len(orjson.loads(answer.body)["plans"])) == (8, 7)
    assert_answer_is_right(alice)


def test_give_and_revoke_at_once_leave_a_true_answer(alice, pro, export):
    subscribe(alice, pro)
    deeds = [
        lambda: revoke(alice, export),
        lambda: give(alice, feature=export),
        lambda: subscribe(alice, pro, until=2 * MONTH),
        lambda: subscribe(alice, pro, ref="sub_2"),
    ]
    at_once(*deeds * 2)
    assert_answer_is_right(alice)


def test_eight_readers_of_an_expired_answer_make_it_anew_once(alice, pro):
    subscribe(alice, pro, until=DAY)

    answers = at_once(*[lambda: answer_of(consumer=alice, at=NOON + DAY)] * 8)

    assert {(one.version, one.etag) for one in answers} == {(2, Answer.objects.get().etag)}


def edit(plan, feature):
    PlanFeature.objects.create(plan=plan, feature=feature)
    refresh_plan_answers(plan=plan, at=NOON)


@pytest.mark.parametrize("first", ["edit", "subscribe"])
def test_an_answer_made_while_its_plan_is_edited_is_made_anew(alice, pro, labs, first):
    deeds = {"edit": lambda: edit(pro, labs), "subscribe": lambda: subscribe(alice, pro)}
    written, waited = Event(), 0.3  # long enough for the second to finish, were it not held up

    def do_first():
        with transaction.atomic():
            deeds.pop(first)()
            written.set()
            sleep(waited)

    def do_second():
        written.wait()
        (second,) = deeds.values()
        with transaction.atomic():
            second()

    at_once(do_first, do_second)

    answer = orjson.loads(answer_of(consumer=alice, at=NOON + SECOND).body)
    codes = [one["feature_code"] for one in answer["entitlements"]]
    assert codes == ["export", "exports", "labs"]
