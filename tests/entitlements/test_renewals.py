"""Renewing a grant, and taking a revocation back."""

from datetime import timedelta

import pytest

from config.errors import IdempotencyConflict, InvalidInput
from entitlements.grants import (
    RENEW_FOR,
    UNDO_FOR,
    FollowsItsSource,
    NotRenewable,
    NotRestorable,
)
from entitlements.models import Answer, Grant
from entitlements.selectors import entitlements_of
from entitlements.services import renew_grant, restore_grant, revoke_grant
from entitlements.taking import give_feature_back
from keystore.models import AuditEntry
from tests.conftest import NOON
from tests.entitlements.deeds import DAY, MONTH, give, revoke, subscribe
from tests.together import at_once

SECOND = timedelta(seconds=1)


def renew(grant, *, until=2 * MONTH, at=NOON + DAY, **more):
    values = {"reason": "one month more", "ticket": "T-2", "actor": "staff:kim", **more}
    valid_to = NOON + until if until is not None else None
    return renew_grant(grant=grant, valid_to=valid_to, at=at, **values)


def end(grant, at=NOON):
    return revoke_grant(grant=grant, reason="a mistake", actor="staff:sam", at=at)


def restore(grant, at=NOON + UNDO_FOR - SECOND):
    return restore_grant(grant=grant, reason="it was right", actor="staff:sam", at=at)


def open_features(consumer, at=NOON):
    return {one.feature_code for one in entitlements_of(consumer=consumer, at=at) if one.active}


@pytest.fixture
def given(alice, labs):
    return give(alice, feature=labs, valid_to=NOON + MONTH)


@pytest.fixture
def mirrored(alice, pro):
    """A grant that follows a subscription."""
    subscribe(alice, pro)
    return Grant.objects.get()


def test_renewed_grant_ends_later_for_its_new_reason(alice, given):
    assert renew(given) is True

    assert (given.valid_from, given.valid_to) == (NOON, NOON + 2 * MONTH)
    assert (given.reason, given.ticket) == ("one month more", "T-2")
    assert open_features(alice, NOON + 2 * MONTH - SECOND) == {"labs"}


def test_renewal_is_on_record_with_all_that_it_changed(given):
    renew(given)

    entry = AuditEntry.objects.get(act="grant.renew")
    assert entry.actor == "staff:kim"
    assert entry.before == {
        "valid_to": "2026-03-31T12:00:00Z",
        "reason": "VIP pilot",
        "ticket": "",
    }
    assert entry.after == {
        "valid_to": "2026-04-30T12:00:00Z",
        "reason": "one month more",
        "ticket": "T-2",
    }


def test_grant_that_ended_opens_again_and_what_was_closed_stays_closed(alice, given):
    renew(given, at=NOON + MONTH + DAY)

    assert (given.valid_from, given.valid_to) == (NOON + MONTH + DAY, NOON + 2 * MONTH)
    assert AuditEntry.objects.get(act="grant.renew").before["valid_from"] == "2026-03-01T12:00:00Z"


def test_grant_that_ended_long_ago_is_not_renewed(given):
    at = NOON + MONTH + RENEW_FOR

    with pytest.raises(NotRenewable, match="ended more than 30 days ago"):
        renew(given, until=3 * MONTH, at=at)
    assert renew(given, until=3 * MONTH, at=at - SECOND) is True


@pytest.mark.parametrize(
    ("until", "said"),
    [(timedelta(), "in the future"), (MONTH, "ends later"), (MONTH - DAY, "ends later")],
)
def test_renewal_needs_a_later_end(given, until, said):
    with pytest.raises(InvalidInput, match=said):
        renew(given, until=until)


def test_renewal_twice_is_one(given):
    assert [renew(given), renew(given)] == [True, False]
    assert AuditEntry.objects.filter(act="grant.renew").count() == 1


def test_grant_may_be_renewed_without_end(given):
    renew(given, until=None)

    with pytest.raises(NotRenewable, match="has no end"):
        renew(given, until=2 * MONTH)


def test_revoked_grant_is_not_renewed(given):
    end(given)

    with pytest.raises(NotRenewable, match="is revoked"):
        renew(given)


def test_grant_of_a_subscription_is_neither_renewed_nor_restored(mirrored):
    with pytest.raises(FollowsItsSource):
        renew(mirrored)
    Grant.objects.update(revoked_at=NOON)
    with pytest.raises(FollowsItsSource):
        restore(mirrored)


def test_denial_is_not_renewed(alice, mirrored, export):
    denial = revoke(alice, export).denial

    with pytest.raises(NotRenewable, match="is a denial"):
        renew(denial)


def test_repeated_request_finds_the_grant_that_was_renewed(alice, labs, given):
    renew(given)
    renew(given, until=3 * MONTH, reason="and another", at=NOON + 2 * DAY)

    assert give(alice, feature=labs, valid_to=NOON + MONTH) == given
    with pytest.raises(IdempotencyConflict):
        give(alice, feature=labs, valid_to=NOON + 3 * MONTH)


def test_revocation_is_undone(alice, given):
    end(given)
    assert open_features(alice) == set()

    assert restore(given) is True

    assert open_features(alice) == {"labs"}
    entry = AuditEntry.objects.get(act="grant.restore")
    assert (entry.before, entry.after) == (
        {"revoked_at": "2026-03-01T12:00:00Z"},
        {"revoked_at": None},
    )


def test_undo_twice_is_one(given):
    end(given)

    assert [restore(given), restore(given)] == [True, False]


def test_revocation_is_undone_for_ten_minutes_only(given):
    end(given)

    with pytest.raises(NotRestorable, match="for 10 minutes"):
        restore(given, at=NOON + UNDO_FOR)


def test_undo_of_the_revocation_of_a_denial_denies_again(alice, mirrored, export):
    denial = revoke(alice, export).denial
    end(denial)
    assert "export" in open_features(alice)

    restore(denial)

    assert "export" not in open_features(alice)


def give_back(part, at=NOON + UNDO_FOR - SECOND):
    return give_feature_back(part=part, reason="it was right", actor="staff:sam", at=at)


@pytest.fixture
def taken(alice, mirrored, export):
    """Taken away from alice: a grant of her own ended, and what her plan opens is denied."""
    give(alice, feature=export)
    revocation = revoke(alice, export)
    assert (len(revocation.ended), revocation.denial is not None) == (1, True)
    return revocation


@pytest.mark.parametrize("named", ["the denial", "the grant"])
def test_taking_a_feature_away_is_undone_in_one_step(alice, taken, named):
    part = taken.denial if named == "the denial" else taken.ended[0]

    undone = give_back(part)

    assert (undone.ended, undone.denial) == (taken.ended, taken.denial)
    assert "export" in open_features(alice, NOON + UNDO_FOR)
    open_again = Grant.objects.filter(feature__code="export", revoked_at=None)
    assert list(open_again) == list(taken.ended)
    acts = AuditEntry.objects.filter(reason="it was right").values_list("act", flat=True)
    assert sorted(acts) == ["grant.restore", "grant.revoke"]


def test_a_taking_that_was_undone_is_not_undone_again(alice, taken):
    give_back(taken.denial)
    version = Answer.objects.get(consumer=alice).version

    assert not give_back(taken.ended[0]).changed
    assert Answer.objects.get(consumer=alice).version == version


def test_a_taking_is_undone_for_ten_minutes_only(alice, taken):
    for part in (taken.denial, taken.ended[0]):
        with pytest.raises(NotRestorable, match="10 minutes"):
            give_back(part, at=NOON + UNDO_FOR)
    assert "export" not in open_features(alice)


def test_a_taking_of_which_a_part_was_changed_is_not_undone(alice, taken):
    AuditEntry.objects.create(
        actor="x", act="grant.move", object_kind="grant", object_id=taken.ended[0].public_id
    )

    with pytest.raises(NotRestorable, match="was changed after"):
        give_back(taken.denial)
    assert "export" not in open_features(alice)


def test_what_was_changed_after_the_revocation_is_not_undone(given):
    end(given)
    AuditEntry.objects.create(
        actor="x", act="grant.move", object_kind="grant", object_id=given.public_id
    )

    with pytest.raises(NotRestorable, match="was changed after"):
        restore(given)


@pytest.mark.django_db(transaction=True)
def test_eight_people_undo_and_renew_at_once(alice, labs):
    given = give(alice, feature=labs, valid_to=NOON + MONTH)
    end(given)

    undone = at_once(lambda: restore(Grant.objects.get()))
    renewed = at_once(lambda: renew(Grant.objects.get()))

    assert (sum(undone), sum(renewed)) == (1, 1)
    acts = AuditEntry.objects.order_by("pk").values_list("act", flat=True)
    assert list(acts) == ["grant.give", "grant.revoke", "grant.restore", "grant.renew"]
