"""What a consumer had at an instant gone by."""

import random
from datetime import timedelta

import pytest

from entitlements import services
from entitlements.contents import contents_of, record_contents
from entitlements.history import entitlements_at, past_of
from entitlements.models import Feature, Grant, Plan, PlanFeature
from entitlements.selectors import entitlements_of
from tests.conftest import NOON

DAY = timedelta(days=1)
SAID = {"reason": "x", "actor": "staff:sam"}


@pytest.fixture
def calls(journal):
    return Feature.objects.create(project=journal, code="calls", kind="limit")


@pytest.fixture
def plans(journal, calls):
    plans = [
        Plan.objects.create(project=journal, code=code, rank=rank)
        for code, rank in (("pro", 20), ("team", 30))
    ]
    for plan in plans:
        PlanFeature.objects.create(plan=plan, feature=calls, limit=plan.rank)
    return plans


def give(consumer, feature, at, **more):
    wish = {"valid_from": None, "valid_to": at + 30 * DAY, "granted_by": "staff:sam", **more}
    return services.give_grant(
        consumer=consumer, feature=feature, idempotency_key=f"{at}", at=at, **SAID, **wish
    )


class Walk:
    """Changes of a consumer's access in random order, each at its own instant."""

    def __init__(self, consumer, plans, feature, seed):
        self.consumer, self.plans, self.feature = consumer, plans, feature
        self.random, self.at = random.Random(seed), NOON

    def step(self):
        self.at += timedelta(hours=self.random.randint(1, 60))
        self.random.choice([self.give, self.move, self.end, self.revoke, self.restore, self.deny])()

    def give(self):
        end = self.random.choice([None, self.at + self.random.randint(1, 9) * DAY])
        give(self.consumer, self.feature, self.at, limit=self.random.randint(0, 50), valid_to=end)

    def move(self):
        plan = self.random.choice(self.plans)
        until = self.at + self.random.randint(1, 40) * DAY
        self.follow([services.WantedGrant(plan, NOON, until)])

    def end(self):
        self.follow([])

    def follow(self, wanted):
        source = {"source": "subscription", "source_ref": f"sub_{self.random.randint(1, 2)}"}
        services.set_source_grants(
            consumer=self.consumer, wanted=wanted, at=self.at, **source, **SAID
        )

    def revoke(self):
        for grant in Grant.objects.filter(source="staff", revoked_at=None)[:1]:
            services.revoke_grant(grant=grant, at=self.at, **SAID)

    def restore(self):
        """What was revoked a moment ago, and only then."""
        self.revoke()
        for grant in Grant.objects.filter(revoked_at=self.at, source="staff")[:1]:
            self.at += timedelta(minutes=5)
            services.restore_grant(grant=grant, at=self.at, **SAID)

    def deny(self):
        services.revoke_feature(
            consumer=self.consumer,
            feature=self.feature,
            revoked_by="staff:sam",
            idempotency_key=f"deny {self.at}",
            at=self.at,
            **SAID,
        )


@pytest.mark.parametrize("seed", range(6))
def test_history_equals_what_was_answered_then(alice, plans, calls, seed):
    walk, answered = Walk(alice, plans, calls, seed), {}
    for _ in range(25):
        walk.step()
        for instant in (walk.at, walk.at + timedelta(minutes=31)):
            answered[instant] = entitlements_of(consumer=alice, at=instant)

    assert len({str(answer) for answer in answered.values()}) > 5
    for instant, answer in answered.items():
        assert entitlements_at(consumer=alice, at=instant) == answer


def test_before_the_first_grant_there_was_nothing(alice, calls):
    give(alice, calls, NOON, limit=5)

    assert entitlements_at(consumer=alice, at=NOON - timedelta(seconds=1)) == []


def test_renewed_grant_ended_as_it_was_first_given(alice, calls):
    grant = give(alice, calls, NOON, limit=5)
    services.renew_grant(
        grant=grant, valid_to=NOON + 90 * DAY, ticket="", at=NOON + 2 * DAY, **SAID
    )

    assert entitlements_at(consumer=alice, at=NOON + DAY)[0].valid_to == NOON + 30 * DAY
    assert entitlements_at(consumer=alice, at=NOON + 3 * DAY)[0].valid_to == NOON + 90 * DAY


def test_plan_is_shown_with_what_it_contained_then(alice, plans, calls):
    walk = Walk(alice, plans[:1], calls, 1)
    walk.move()
    row = plans[0].plan_features.get()
    before = contents_of(plans[0])
    PlanFeature.objects.filter(pk=row.pk).update(limit=500)
    record_contents(
        plan=plans[0], before=before, actor="staff:sam", at=NOON + 10 * timedelta(hours=1)
    )

    past = past_of(consumer=alice, at=NOON + timedelta(hours=1))
    assert entitlements_at(consumer=alice, at=NOON + timedelta(hours=1))[0].limit == 20
    assert past.plans_changed == ("pro",)
    assert entitlements_at(consumer=alice, at=NOON + timedelta(hours=11))[0].limit == 500


def test_grants_of_another_consumer_are_left_alone(alice, bob, calls):
    give(alice, calls, NOON, limit=5)

    assert entitlements_at(consumer=bob, at=NOON) == []
