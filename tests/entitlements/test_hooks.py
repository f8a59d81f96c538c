"""Every change of what somebody may use is told once, as the whole answer with its version."""

from datetime import timedelta

import pytest
from django.db import transaction

from entitlements.models import Answer
from entitlements.selectors import answer_of
from entitlements.services import refresh_answer, refresh_due_answers, refresh_plan_answers
from keystore import hooks
from keystore.models import OutboxMessage
from tests.conftest import NOON
from tests.entitlements.deeds import DAY, give, subscribe

URL = "https://receiver.example/hooks"


@pytest.fixture
def endpoint(journal):
    made = hooks.make_endpoint(
        project=journal, url=URL, kinds=["entitlements.changed"], actor="staff:sam", at=NOON
    )
    return made.endpoint


def told():
    """Version, plan and features of each message, in the order of telling."""
    return [
        (data["version"], data["plan"], [one["feature_code"] for one in data["entitlements"]])
        for data in OutboxMessage.objects.order_by("pk").values_list("data", flat=True)
    ]


def test_change_is_told_with_the_whole_answer(endpoint, alice, pro):
    subscribe(alice, pro, ref="sub_1", until=30 * DAY, at=NOON)

    message = OutboxMessage.objects.get()
    assert (message.kind, message.consumer) == ("entitlements.changed", alice)
    assert message.data["user_id"] == "alice"
    assert told() == [(1, "pro", ["export", "exports"])]


def test_every_change_has_the_next_version(endpoint, alice, labs, basic):
    give(alice, feature=labs, idempotency_key="1", at=NOON)
    subscribe(alice, basic, ref="sub_1", until=30 * DAY, at=NOON)
    subscribe(alice, ref="sub_1", at=NOON)

    assert told() == [(1, None, ["labs"]), (2, "basic", ["exports", "labs"]), (3, None, ["labs"])]


def test_what_changes_nothing_is_not_told(endpoint, alice, labs):
    give(alice, feature=labs, idempotency_key="1", at=NOON)
    give(alice, feature=labs, idempotency_key="1", at=NOON)
    refresh_answer(consumer=alice, at=NOON + DAY)

    assert len(told()) == 1


def test_first_question_about_somebody_with_nothing_is_no_news(endpoint, alice):
    answer_of(consumer=alice, at=NOON)

    assert told() == []


def test_change_that_is_rolled_back_is_not_told(endpoint, alice, labs):
    with transaction.atomic():
        give(alice, feature=labs, idempotency_key="1", at=NOON)
        transaction.set_rollback(True)

    assert told() == []


def test_expiry_is_told_without_anybody_asking(endpoint, alice, labs):
    give(alice, feature=labs, valid_to=NOON + DAY, idempotency_key="1", at=NOON)

    assert refresh_due_answers(clock=lambda: NOON + DAY - timedelta(seconds=1)) == 0
    assert refresh_due_answers(clock=lambda: NOON + DAY) == 1
    assert refresh_due_answers(clock=lambda: NOON + DAY) == 0

    assert told() == [(1, None, ["labs"]), (2, None, [])]


def test_question_after_the_expiry_tells_it_and_the_sweeper_not_again(endpoint, alice, labs):
    give(alice, feature=labs, valid_to=NOON + DAY, idempotency_key="1", at=NOON)

    answer_of(consumer=alice, at=NOON + DAY)
    refresh_due_answers(clock=lambda: NOON + DAY)

    assert len(told()) == 2


def test_new_contents_of_a_plan_are_told_to_its_holders(endpoint, alice, basic, labs):
    subscribe(alice, basic, ref="sub_1", until=30 * DAY, at=NOON)
    basic.plan_features.create(feature=labs)

    refresh_plan_answers(plan=basic, at=NOON)
    refresh_due_answers(clock=lambda: NOON)

    assert told()[-1] == (2, "basic", ["exports", "labs"])


def test_answers_that_nobody_wants_told_are_left_to_who_asks(orbit, alice, labs, endpoint):
    hooks.disable_endpoint(endpoint=endpoint, actor="staff:sam", reason="", at=NOON)
    give(alice, feature=labs, valid_to=NOON + DAY, idempotency_key="1", at=NOON)

    assert refresh_due_answers(clock=lambda: NOON + DAY) == 0
    assert Answer.objects.get().version == 1
