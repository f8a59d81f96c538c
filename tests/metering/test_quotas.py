"""Taking from a quota: limits of plans and grants, periods, what a refusal leaves."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from entitlements.services import revoke_feature
from metering.errors import EventConflict
from metering.models import UsageEvent
from metering.quotas import take
from metering.services import set_cycle
from tests.conftest import NOON
from tests.metering.quota_cast import give, metered, sell, used_of


@pytest.fixture
def tokens(journal):
    return metered(journal)


def use(consumer, meter, quantity=1, *, event_id="", at=NOON):
    return take(consumer=consumer, meter=meter, quantity=quantity, event_id=event_id, at=at)


def test_what_fits_is_taken_and_the_rest_is_left(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=10))
    verdict = use(alice, tokens, 4)
    assert (verdict.allowed, verdict.code, verdict.left.remaining) == (True, "", 6)
    assert verdict.resets_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert UsageEvent.objects.get().pk == verdict.event


def test_what_does_not_fit_is_refused_and_leaves_nothing(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=10))
    use(alice, tokens, 8)
    verdict = use(alice, tokens, 3)
    assert (verdict.allowed, verdict.code, verdict.left.remaining) == (False, "usage_exceeded", 2)
    assert UsageEvent.objects.count() == 1


def test_without_a_grant_nothing_is_taken(alice, tokens):
    assert use(alice, tokens).code == "feature_not_entitled"
    assert not UsageEvent.objects.exists()


def test_denied_feature_takes_nothing(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=10))
    revoke_feature(
        consumer=alice,
        feature=tokens.feature,
        reason="x",
        revoked_by="t",
        idempotency_key="x",
        actor="t",
        at=NOON,
    )
    assert use(alice, tokens).code == "feature_not_entitled"


def test_null_is_unlimited_and_still_counted(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=None))
    verdict = use(alice, tokens, 10**15)
    assert (verdict.allowed, verdict.left.remaining, verdict.left.used) == (True, None, 10**15)


def test_zero_is_none(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=0))
    assert use(alice, tokens).code == "usage_exceeded"


def test_soft_limit_lets_more_through_as_overage(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=10, enforcement="soft"))
    verdict = use(alice, tokens, 13)
    assert (verdict.allowed, verdict.left.overage, verdict.left.remaining) == (True, 3, 0)


def test_meter_without_a_feature_is_only_counted(journal, alice):
    verdict = use(alice, journal.meters.create(code="clicks"), 5)
    assert (verdict.allowed, verdict.left.limit) == (True, None)


def test_same_event_is_taken_once(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=10))
    first = use(alice, tokens, 4, event_id="one")
    again = use(alice, tokens, 4, event_id="one")
    assert (again.allowed, again.repeated, again.event) == (True, True, first.event)
    assert again.left.remaining == 6


def test_other_use_under_the_same_id_is_refused(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=10))
    use(alice, tokens, 4, event_id="one")
    with pytest.raises(EventConflict):
        use(alice, tokens, 5, event_id="one")
    assert used_of(alice, tokens) == (4, 0, 0)


def test_larger_plan_in_mid_period_keeps_what_was_used(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=10))
    use(alice, tokens, 10)
    give(alice, plan=sell(journal, "tokens", limit=100))
    assert use(alice, tokens, 1).left.remaining == 89


def test_smaller_plan_in_mid_period_refuses_what_was_used_up(journal, alice, tokens):
    large = give(alice, plan=sell(journal, "tokens", limit=100))
    give(alice, plan=sell(journal, "tokens", limit=10))
    use(alice, tokens, 50)
    large.revoked_at = NOON
    large.save(update_fields=["revoked_at"])
    alice.answer.delete()
    verdict = use(alice, tokens, 1)
    assert (verdict.code, verdict.left.used, verdict.left.remaining) == ("usage_exceeded", 50, 0)


def test_grant_of_the_feature_raises_the_limit(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=10))
    give(alice, feature=tokens.feature, limit=25)
    assert use(alice, tokens, 20).left.remaining == 5


RESETS = [
    ("day", "2026-03-02T00:00"),
    ("calendar_month", "2026-04-01T00:00"),
    ("billing_period", "2026-03-31T09:30"),
    ("never", None),
]


@pytest.mark.parametrize(("reset", "until"), RESETS)
def test_limit_starts_anew_when_its_period_ends(journal, alice, tokens, reset, until):
    set_cycle(consumer=alice, anchor=datetime(2026, 1, 31, 9, 30, tzinfo=UTC), interval="month")
    give(alice, plan=sell(journal, "tokens", limit=10, reset=reset))
    verdict = use(alice, tokens, 10)
    ends = until and datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert verdict.resets_at == ends
    before = (ends or datetime(2099, 1, 1, tzinfo=UTC)) - timedelta(microseconds=1)
    assert not use(alice, tokens, at=before).allowed
    assert ends is None or use(alice, tokens, 10, at=ends).allowed


@pytest.mark.parametrize("night", ["2026-03-29T01:30", "2026-10-25T01:30"])
def test_night_of_the_clock_change_is_a_day_like_any_other(journal, alice, tokens, night):
    """Periods are UTC: no hour is counted twice or missing."""
    at = datetime.fromisoformat(night).replace(tzinfo=UTC)
    give(alice, plan=sell(journal, "tokens", limit=24, reset="day"))
    midnight = at.replace(hour=0, minute=0)
    taken = [use(alice, tokens, at=midnight + timedelta(hours=hour)).allowed for hour in range(24)]
    assert taken == [True] * 24
    assert not use(alice, tokens, at=midnight + timedelta(hours=23, minutes=59)).allowed


def test_29_february_ends_a_month_that_began_on_the_31st(journal, alice, tokens):
    set_cycle(consumer=alice, anchor=datetime(2028, 1, 31, tzinfo=UTC), interval="month")
    give(alice, plan=sell(journal, "tokens", limit=10, reset="billing_period"))
    leap_day = datetime(2028, 2, 29, tzinfo=UTC)
    assert use(alice, tokens, 10, at=leap_day - timedelta(seconds=1)).resets_at == leap_day
    assert use(alice, tokens, 10, at=leap_day).resets_at == datetime(2028, 3, 31, tzinfo=UTC)


def test_parts_of_units_add_up_exactly(journal, alice, tokens):
    give(alice, plan=sell(journal, "tokens", limit=1))
    taken = [use(alice, tokens, Decimal("0.1")).allowed for _ in range(11)]
    assert taken == [True] * 10 + [False]


def test_what_was_given_after_a_use_counts_for_the_next(journal, alice, tokens):
    """Nothing of an older answer stays with the consumer that was asked about."""
    give(alice, plan=sell(journal, "tokens", limit=10))
    use(alice, tokens, 1)
    calls = metered(journal, "calls")
    give(alice, plan=sell(journal, "calls", limit=5))
    assert use(alice, calls, 5).allowed
