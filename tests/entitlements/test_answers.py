"""After any history the stored answer is what a fresh computation says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.answers import answer_body, etag_of
from entitlements.facts import facts_of
from entitlements.grants import FollowsItsSource
from entitlements.models import Answer, Grant
from entitlements.selectors import answer_of
from entitlements.services import revoke_grant
from tests.conftest import NOON
from tests.entitlements.deeds import DAY, give, revoke, subscribe

DEEDS = st.sampled_from(["subscribe", "end", "give", "give_plan", "deny", "revoke", "wait", "read"])


@settings(max_examples=40)
@given(deeds=st.lists(st.tuples(DEEDS, st.integers(0, 3)), max_size=12))
def test_the_answer_equals_a_recomputation_after_any_history(alice, basic, pro, export, deeds):
    Grant.objects.all().delete()
    Answer.objects.all().delete()
    at, version = NOON, 0
    for number, (deed, choice) in enumerate(deeds):
        at += choice * DAY if deed == "wait" else 0 * DAY
        do(deed, choice, alice, [basic, pro][choice % 2], export, at, key=f"key-{number}")

        answer = answer_of(consumer=alice, at=at)

        assert answer.body == answer_body(alice, facts_of(consumer=alice), at, answer.version)
        assert answer.etag == etag_of(answer.body)
        assert answer.version >= version
        version = answer.version


def do(deed, choice, consumer, plan, feature, at, key):
    ref = f"sub_{choice}"
    if deed == "subscribe":
        subscribe(consumer, plan, ref=ref, until=(at - NOON) + (choice + 1) * DAY, at=at)
    elif deed == "end":
        subscribe(consumer, ref=ref, at=at)
    elif deed == "give":
        end = at + choice * DAY if choice else None
        give(consumer, feature=feature, valid_to=end, idempotency_key=key, at=at)
    elif deed == "give_plan":
        give(consumer, plan=plan, valid_from=at + DAY, idempotency_key=key, at=at)
    elif deed == "deny":
        revoke(consumer, feature, key=key, at=at)
    elif deed == "revoke" and (grant := Grant.objects.order_by("pk").last()):
        try:
            revoke_grant(grant=grant, reason="", actor="staff:sam", at=at)
        except FollowsItsSource:
            assert grant.source == "subscription"
