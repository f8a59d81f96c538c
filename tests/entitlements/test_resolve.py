from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.explain import explain
from entitlements.resolve import (
    FeatureFacts,
    GrantFacts,
    PlanFacts,
    next_change,
    plans_held,
    resolve,
)
from tests.conftest import NOON

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
PLANS = {
    "basic": PlanFacts("basic", "Basic", 1, (FeatureFacts("calls", "limit", 10, reset="day"),)),
    "pro": PlanFacts(
        "pro",
        "Pro",
        2,
        (
            FeatureFacts("export"),
            FeatureFacts("calls", "limit", 100, reset="calendar_month", enforcement="hard"),
            FeatureFacts("theme", "config", config="dark"),
        ),
    ),
    "team": PlanFacts(
        "team",
        "Team",
        3,
        (FeatureFacts("calls", "limit", None), FeatureFacts("theme", "config", config="light")),
    ),
}
KINDS = {"export": "boolean", "calls": "limit", "theme": "config"}


def grant(sequence=1, *, start=0, days=30, **fields):
    end = None if days is None else NOON + (start + days) * DAY
    ref = fields.pop("ref", f"sub_{sequence}")
    return GrantFacts(
        sequence=sequence,
        grant_id=f"grant_{sequence}",
        source="subscription",
        source_ref=ref,
        valid_from=NOON + start * DAY,
        valid_to=end,
        **fields,
    )


def denial(sequence, code, **fields):
    feature = FeatureFacts(code, KINDS[code])
    return grant(sequence, effect="deny", feature=feature, **fields)


def value(grants, code, at=NOON):
    found = {one.feature_code: one for one in resolve(grants, PLANS, at)}
    return found[code].value if code in found else None


@st.composite
def grant_lists(draw):
    """Grants of a consumer over a few days, with denials, revocations and open ends."""
    count = draw(st.integers(0, 7))
    made = []
    for sequence in range(1, count + 1):
        terms = {
            "start": draw(st.integers(-3, 3)),
            "days": draw(st.sampled_from([1, 2, 4, None])),
            "revoked_at": draw(st.sampled_from([None, None, None, NOON])),
            "ref": f"sub_{draw(st.integers(1, 3))}",
        }
        kind = draw(st.sampled_from(["plan", "plan", "feature", "deny"]))
        code = draw(st.sampled_from(sorted(KINDS)))
        if kind == "plan":
            made.append(grant(sequence, plan=draw(st.sampled_from(sorted(PLANS))), **terms))
        elif kind == "deny":
            made.append(denial(sequence, code, **terms))
        else:
            limit = draw(st.sampled_from([None, 0, 50])) if code == "calls" else None
            config = "own" if code == "theme" else None
            feature = FeatureFacts(code, KINDS[code], limit, config)
            made.append(grant(sequence, feature=feature, **terms))
    return made


INSTANTS = st.integers(-4 * 24, 8 * 24).map(lambda hours: NOON + timedelta(hours=hours))


@given(grant_lists(), st.randoms(use_true_random=False), INSTANTS)
def test_the_order_in_which_grants_are_read_does_not_matter(grants, random, at):
    shuffled = random.sample(grants, len(grants))

    assert resolve(shuffled, PLANS, at) == resolve(grants, PLANS, at)
    assert plans_held(shuffled, PLANS, at) == plans_held(grants, PLANS, at)


@given(grant_lists(), INSTANTS)
def test_nothing_changes_before_the_next_change(grants, at):
    change = next_change(grants, at)
    just_before = at + 100 * DAY if change is None else change - timedelta(microseconds=1)

    assert resolve(grants, PLANS, just_before) == resolve(grants, PLANS, at)
    assert plans_held(grants, PLANS, just_before) == plans_held(grants, PLANS, at)


@given(grant_lists(), INSTANTS)
def test_a_source_taken_away_takes_exactly_what_only_it_gave(grants, at):
    rest = [one for one in grants if one.source_ref != "sub_1" or one.effect == "deny"]
    before = {one.feature_code: one for one in resolve(grants, PLANS, at)}
    after = {one.feature_code: one for one in resolve(rest, PLANS, at)}

    for code, one in before.items():
        if one.source_id != "sub_1":
            kept = after[code]
            assert (kept.active, kept.value, kept.source_id) == (
                one.active,
                one.value,
                one.source_id,
            )
    assert after.keys() <= before.keys()


@given(grant_lists(), INSTANTS)
def test_one_more_grant_never_takes_anything_away(grants, at):
    more = [*grants, grant(len(grants) + 1, plan="team", start=-9, days=None)]

    def size(found):
        return {
            one.feature_code: float("inf") if one.value is None else one.value
            for one in found
            if one.active and one.kind == "limit"
        }

    before, after = size(resolve(grants, PLANS, at)), size(resolve(more, PLANS, at))
    assert all(after[code] >= limit for code, limit in before.items())
    assert after["calls"] == float("inf")


@given(grant_lists(), INSTANTS)
def test_a_new_denial_closes_the_feature_whatever_came_before(grants, at):
    grants = [*grants, denial(len(grants) + 1, "calls", start=-9, days=None)]

    found = {one.feature_code: one for one in resolve(grants, PLANS, at)}

    assert (found["calls"].active, found["calls"].reason) == (False, "denied")


@given(grant_lists(), INSTANTS)
def test_an_explanation_agrees_with_the_answer(grants, at):
    answer = {one.feature_code: one for one in resolve(grants, PLANS, at)}

    for one in explain(grants, PLANS, at):
        found = answer.pop(one.feature_code, None)
        assert one.entitlement == found
        decides = one.winner.grant if one.winner else one.denial
        assert (decides.source_ref if decides else None) == (found.source_id if found else None)
    assert answer == {}


@given(grant_lists(), INSTANTS)
def test_the_announced_changes_come_true(grants, at):
    for one in explain(grants, PLANS, at):
        for change in one.changes:
            found = {e.feature_code: e for e in resolve(grants, PLANS, change.at)}
            assert found.get(one.feature_code) == change.entitlement


def test_a_grant_is_open_at_its_start_and_closed_at_its_end():
    grants = [grant(plan="pro", days=1)]

    assert value(grants, "export", NOON - SECOND) is None
    assert value(grants, "export", NOON) is True
    assert value(grants, "export", NOON + DAY - SECOND) is True
    assert value(grants, "export", NOON + DAY) is None
    assert next_change(grants, NOON - SECOND) == NOON
    assert next_change(grants, NOON) == NOON + DAY
    assert next_change(grants, NOON + DAY) is None


@pytest.mark.parametrize(
    ("plans", "limit"), [(["basic"], 10), (["basic", "pro"], 100), (["pro", "team"], None)]
)
def test_the_most_generous_limit_wins(plans, limit):
    grants = [grant(number, plan=plan) for number, plan in enumerate(plans)]
    assert value(grants, "calls") == limit


def test_the_config_of_the_higher_plan_wins():
    assert value([grant(1, plan="team"), grant(2, plan="pro")], "theme") == "light"


def test_between_two_config_values_of_one_rank_the_later_start_wins():
    old = grant(1, feature=FeatureFacts("theme", "config", config="old"), start=-2, days=None)
    new = grant(2, feature=FeatureFacts("theme", "config", config="new"), start=-1, days=9)
    assert value([old, new], "theme") == "new"


def test_a_value_given_in_person_beats_the_config_of_every_plan():
    own = grant(1, feature=FeatureFacts("theme", "config", config="own"))
    assert value([own, grant(2, plan="team")], "theme") == "own"


def test_of_equal_grants_the_longest_is_shown():
    grants = [grant(1, plan="pro", days=1), grant(2, plan="pro", days=9)]
    found = resolve(grants, PLANS, NOON)
    assert {one.source_id for one in found} == {"sub_2"}


def test_of_grants_alike_in_everything_the_oldest_is_shown():
    alike = [grant(1, plan="pro"), grant(2, plan="pro")]
    for grants in (alike, alike[::-1]):
        assert {one.source_id for one in resolve(grants, PLANS, NOON)} == {"sub_1"}


def test_a_denial_beats_what_was_made_before_it_and_not_after():
    before, after = grant(1, plan="pro"), grant(3, feature=FeatureFacts("export"))

    assert value([before, denial(2, "export")], "export") is False
    assert value([before, denial(2, "export"), after], "export") is True


def test_a_denial_has_its_time_too():
    grants = [grant(1, plan="pro"), denial(2, "export", start=1, days=1)]

    shown = [value(grants, "export", NOON + day * DAY) for day in range(3)]

    assert shown == [True, False, True]


def test_a_denied_feature_leaves_the_plan_in_place():
    grants = [grant(1, plan="pro"), denial(2, "export")]
    assert [one.code for one in plans_held(grants, PLANS, NOON)] == ["pro"]


def test_a_hard_limit_of_nothing_is_not_active_and_a_soft_one_is():
    hard = FeatureFacts("calls", "limit", 0, enforcement="hard")
    soft = FeatureFacts("calls", "limit", 0, enforcement="soft")

    assert resolve([grant(feature=hard)], {}, NOON)[0].active is False
    assert resolve([grant(feature=soft)], {}, NOON)[0].active is True


def test_a_limit_given_in_person_starts_anew_as_the_plan_says():
    own = grant(2, feature=FeatureFacts("calls", "limit", 500))

    alone, with_plan = (
        resolve([own], PLANS, NOON),
        resolve([grant(1, plan="pro"), own], PLANS, NOON),
    )

    assert (alone[0].reset, alone[0].limit) == ("billing_period", 500)
    assert (with_plan[0].reset, with_plan[0].limit) == ("calendar_month", 500)


def test_an_explanation_says_why_each_grant_lost():
    grants = [
        grant(1, plan="pro", revoked_at=NOON),
        grant(2, plan="pro", start=-9, days=1),
        grant(3, plan="pro", start=1),
        grant(4, plan="basic"),
        grant(5, plan="team"),
    ]
    calls = next(one for one in explain(grants, PLANS, NOON) if one.feature_code == "calls")

    assert calls.winner.grant == grants[4]
    assert [one.why for one in calls.losers] == [
        "revoked",
        "ended",
        "not_started",
        "less_generous",
    ]
