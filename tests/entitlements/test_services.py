from datetime import timedelta

import orjson
import pytest

from config.errors import IdempotencyConflict, InvalidInput, NotFound
from entitlements.grants import FollowsItsSource
from entitlements.models import Answer, Feature, Grant, GrantSource, Plan, PlanFeature
from entitlements.selectors import answer_of
from entitlements.services import (
    WantedGrant,
    refresh_answer,
    refresh_plan_answers,
    revoke_grant,
    set_source_grants,
)
from keystore.models import AuditEntry
from tests.conftest import NOON
from tests.entitlements.deeds import DAY, MONTH, give, revoke, subscribe

SECOND = timedelta(seconds=1)


def active(consumer, at=NOON):
    answer = orjson.loads(answer_of(consumer=consumer, at=at).body)
    return {one["feature_code"]: one["value"] for one in answer["entitlements"] if one["active"]}


def test_a_subscription_opens_the_features_of_its_plan(alice, pro):
    assert subscribe(alice, pro) is True

    assert active(alice) == {"export": True, "exports": 100}


def test_the_same_state_again_writes_nothing(alice, pro):
    subscribe(alice, pro)
    before = Answer.objects.get(consumer=alice)

    assert subscribe(alice, pro, at=NOON + DAY) is False

    after = Answer.objects.get(consumer=alice)
    assert (after.version, after.computed_at) == (before.version, before.computed_at)
    assert AuditEntry.objects.count() == 1


def test_a_renewal_moves_the_end_of_the_same_grant(alice, pro):
    subscribe(alice, pro)
    first = Grant.objects.get()

    assert subscribe(alice, pro, until=2 * MONTH, at=NOON + MONTH) is True

    moved = Grant.objects.get()
    assert (moved.pk, moved.valid_to) == (first.pk, NOON + 2 * MONTH)


def test_another_plan_takes_the_place_of_the_first(alice, basic, pro):
    subscribe(alice, basic)

    subscribe(alice, pro, at=NOON + DAY)

    live = Grant.objects.live(NOON + DAY).values_list("plan__code", flat=True)
    assert list(live) == ["pro"]
    assert Grant.objects.get(plan=basic).revoked_at == NOON + DAY


def test_no_wanted_plan_ends_the_access(alice, pro):
    subscribe(alice, pro)

    assert subscribe(alice, at=NOON + DAY) is True
    assert active(alice, NOON + DAY) == {}


def test_another_source_is_left_alone(alice, pro, labs):
    subscribe(alice, pro)
    subscribe(alice, pro, ref="sub_2")
    give(alice, feature=labs)

    subscribe(alice, ref="sub_1", at=NOON + DAY)

    assert active(alice, NOON + DAY) == {"export": True, "exports": 100, "labs": True}


def test_a_plan_that_comes_back_reopens_its_first_grant(alice, pro):
    subscribe(alice, pro)
    subscribe(alice, at=NOON + DAY)

    assert subscribe(alice, pro, at=NOON + 2 * DAY) is True

    assert Grant.objects.get().revoked_at is None
    acts = list(AuditEntry.objects.order_by("pk").values_list("act", flat=True))
    assert acts == ["grant.give", "grant.revoke", "grant.reopen"]


def test_a_denial_outlasts_renewal_and_return_of_the_subscription(alice, pro, export):
    subscribe(alice, pro)
    revoke(alice, export)

    subscribe(alice, at=NOON + DAY)
    subscribe(alice, pro, until=2 * MONTH, at=NOON + 2 * DAY)

    assert active(alice, NOON + 2 * DAY) == {"exports": 100}


def test_a_trial_that_turns_paid_changes_its_source(alice, pro):
    wanted = [WantedGrant(pro, NOON, NOON + MONTH)]
    terms = {"consumer": alice, "source_ref": "sub_1", "wanted": wanted, "reason": "", "at": NOON}
    set_source_grants(source=GrantSource.TRIAL, actor="stripe", **terms)

    set_source_grants(source=GrantSource.SUBSCRIPTION, actor="stripe", **terms)

    assert Grant.objects.get().source == GrantSource.SUBSCRIPTION


def test_two_periods_of_one_plan_are_two_grants(alice, pro):
    later = WantedGrant(pro, NOON + MONTH, NOON + 2 * MONTH)
    wanted = [later, WantedGrant(pro, NOON, NOON + DAY), later]
    set_source_grants(
        consumer=alice,
        source=GrantSource.SUBSCRIPTION,
        source_ref="sub_1",
        wanted=wanted,
        reason="",
        actor="stripe",
        at=NOON,
    )
    starts = Grant.objects.order_by("valid_from").values_list("valid_from", flat=True)
    assert list(starts) == [NOON, NOON + MONTH]


def test_an_empty_interval_opens_nothing(alice, pro):
    assert subscribe(alice, pro, until=timedelta(0)) is False
    assert Grant.objects.count() == 0


def test_the_plan_of_another_project_is_refused(mallory, pro):
    with pytest.raises(NotFound):
        subscribe(mallory, pro)
    assert Grant.objects.count() == 0


def test_a_given_feature_is_open_from_its_first_instant_to_its_last(alice, labs):
    give(alice, feature=labs, valid_from=NOON, valid_to=NOON + DAY)

    assert active(alice, NOON) == {"labs": True}
    assert active(alice, NOON + DAY - SECOND) == {"labs": True}
    assert active(alice, NOON + DAY) == {}


def test_the_same_key_gives_the_first_grant_again(alice, labs):
    first = give(alice, feature=labs)

    assert give(alice, feature=labs, at=NOON + DAY) == first
    assert Grant.objects.count() == AuditEntry.objects.count() == 1


def test_the_same_key_for_another_wish_is_refused(alice, labs):
    give(alice, feature=labs)

    with pytest.raises(IdempotencyConflict) as refusal:
        give(alice, feature=labs, valid_to=NOON + DAY)

    assert refusal.value.details == {"differing": ["valid_to"]}
    assert Grant.objects.get().valid_to is None


def test_a_staff_grant_is_its_own_source(alice, labs):
    grant = give(alice, feature=labs)
    assert grant.source_ref == grant.public_id


def test_a_given_limit_beats_the_smaller_one_of_the_plan(alice, pro, exports):
    subscribe(alice, pro)

    give(alice, feature=exports, limit=500)

    assert active(alice)["exports"] == 500


@pytest.mark.parametrize(
    ("wish", "location"),
    [
        ({"limit": -1}, "body.limit"),
        ({"limit": 2**63}, "body.limit"),
        ({"config": {"a": 1}}, "body.config"),
        ({"valid_to": NOON}, "body.valid_to"),
    ],
)
def test_an_impossible_grant_is_refused(alice, exports, wish, location):
    with pytest.raises(InvalidInput) as refusal:
        give(alice, feature=exports, **wish)

    assert [error["location"] for error in refusal.value.errors] == [location]
    assert Grant.objects.count() == 0


def test_a_grant_opens_either_a_feature_or_a_plan(alice, labs, pro):
    with pytest.raises(InvalidInput):
        give(alice, feature=labs, plan=pro)
    with pytest.raises(InvalidInput):
        give(alice)


def test_the_feature_of_another_project_is_refused(mallory, labs):
    with pytest.raises(NotFound):
        give(mallory, feature=labs)
    with pytest.raises(NotFound):
        revoke(mallory, labs)


def test_revoking_a_grant_twice_changes_it_once(alice, labs):
    grant = give(alice, feature=labs)
    terms = {"grant": grant, "reason": "over", "actor": "staff:sam"}

    assert revoke_grant(at=NOON + DAY, **terms) is True
    assert revoke_grant(at=NOON + 2 * DAY, **terms) is False

    grant.refresh_from_db()
    assert grant.revoked_at == NOON + DAY
    assert active(alice, NOON + DAY) == {}


def test_the_grant_of_a_subscription_is_not_revoked_by_hand(alice, pro):
    subscribe(alice, pro)
    with pytest.raises(FollowsItsSource):
        revoke_grant(grant=Grant.objects.get(), reason="", actor="staff:sam", at=NOON)
    assert active(alice) == {"export": True, "exports": 100}


def test_revoking_a_feature_that_only_staff_gave_needs_no_denial(alice, labs):
    grant = give(alice, feature=labs)

    revocation = revoke(alice, labs, at=NOON + DAY)

    assert (revocation.ended, revocation.denial) == ((grant,), None)
    assert active(alice, NOON + DAY) == {}


def test_revoking_a_paid_feature_denies_it(alice, pro, export):
    subscribe(alice, pro)

    assert revoke(alice, export).denial is not None

    answer = orjson.loads(answer_of(consumer=alice, at=NOON).body)
    denied = answer["entitlements"][0]
    assert (denied["feature_code"], denied["active"], denied["reason"]) == (
        "export",
        False,
        "denied",
    )
    assert [plan["code"] for plan in answer["plans"]] == ["pro"]


def test_revoking_also_beats_what_starts_later(alice, pro, export):
    give(alice, plan=pro, valid_from=NOON + DAY)

    revoke(alice, export)

    assert active(alice, NOON + DAY) == {"exports": 100}


def test_revoking_what_nothing_opens_changes_nothing(alice, labs):
    assert revoke(alice, labs).changed is False
    assert Grant.objects.count() == AuditEntry.objects.count() == 0


def test_revoking_twice_denies_once(alice, pro, export):
    subscribe(alice, pro)
    first = revoke(alice, export)

    assert revoke(alice, export) == first
    assert revoke(alice, export, key="ticket-19").changed is False


def test_what_is_given_after_a_denial_is_open(alice, pro, export):
    subscribe(alice, pro)
    revoke(alice, export)

    give(alice, feature=export, at=NOON + SECOND)

    assert active(alice, NOON + SECOND)["export"] is True


def test_a_revoked_denial_lets_the_plan_through_again(alice, pro, export):
    subscribe(alice, pro)
    denial = revoke(alice, export).denial

    revoke_grant(grant=denial, reason="mistake", actor="staff:sam", at=NOON + DAY)

    assert active(alice, NOON + DAY)["export"] is True


def test_every_change_is_in_the_audit_with_its_reason(alice, pro, export):
    subscribe(alice, pro)
    revoke(alice, export)

    entry = AuditEntry.objects.get(act="grant.deny")
    assert (entry.actor, entry.reason, entry.consumer_id) == (
        "staff:sam",
        "abuse",
        alice.public_id,
    )
    assert entry.after["feature"] == "export"


def test_the_version_grows_with_each_change_and_only_then(alice, pro, labs):
    subscribe(alice, pro)
    give(alice, feature=labs)
    first = refresh_answer(consumer=alice, at=NOON)

    again = refresh_answer(consumer=alice, at=NOON + DAY)

    assert (first.version, again.version, again.etag) == (2, 2, first.etag)


def test_an_expiry_is_right_though_no_task_ran(alice, pro):
    subscribe(alice, pro)
    assert answer_of(consumer=alice, at=NOON).version == 1

    expired = answer_of(consumer=alice, at=NOON + MONTH)

    assert (expired.version, active(alice, NOON + MONTH)) == (2, {})


def test_a_changed_plan_reaches_its_holders(alice, bob, pro, basic, labs):
    subscribe(alice, pro)
    subscribe(bob, basic, ref="sub_2")
    PlanFeature.objects.create(plan=pro, feature=labs)

    assert refresh_plan_answers(plan=pro, at=NOON + SECOND) == 1

    assert active(alice, NOON + SECOND) == {"export": True, "exports": 100, "labs": True}
    assert active(bob, NOON + SECOND) == {"exports": 10}


def test_plans_of_one_code_in_two_projects_stay_apart(alice, mallory, orbit, pro):
    rockets = Feature.objects.create(project=orbit, code="rockets")
    orbit_pro = Plan.objects.create(project=orbit, code="pro")
    PlanFeature.objects.create(plan=orbit_pro, feature=rockets)

    subscribe(alice, pro)
    subscribe(mallory, orbit_pro)

    assert active(mallory) == {"rockets": True}
