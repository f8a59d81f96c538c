"""POST /usage/events: what is counted, once, and what every event is told."""

import json
from datetime import timedelta

import pytest

from config.clock import now
from metering.models import QuotaBalance, UsageEvent, UsageKey, UsageRejection
from tests.metering.quota_cast import give, metered, sell

PATH = "/api/v1/usage/events"


@pytest.fixture
def tokens(journal):
    """Counted, never refused."""
    return journal.meters.create(code="tokens")


@pytest.fixture
def calls(journal, alice):
    """Of which alice may use ten."""
    give(alice, plan=sell(journal, "calls", limit=10), at=now() - timedelta(days=40))
    return metered(journal, "calls")


def tell(api, *events, content_type="application/json", **one):
    body = {"events": list(events)} if events else one
    return api.post(PATH, json.dumps(body), content_type=content_type)


def event(n, meter="tokens", **told):
    return {"id": f"e{n}", "meter": meter, "user_id": "alice", **told}


def statuses(answer):
    return [(one["status"], one["code"]) for one in answer.json()["events"]]


def test_single_event_is_counted(api, tokens, alice):
    answer = tell(api, **event(1, quantity="0.25", properties={"model": "large"}))
    assert answer.status_code == 200
    (receipt,) = answer.json()["events"]
    counted = UsageEvent.objects.get()
    assert receipt == {
        **{"id": "e1", "source": "", "status": "accepted", "code": "", "detail": ""},
        "event": str(counted.pk),
    }
    assert (str(counted.quantity), counted.properties) == ("0.250000000000", {"model": "large"})
    assert (counted.consumer, counted.meter, counted.pk.version) == (alice, tokens, 7)


def test_same_event_again_is_a_duplicate_however_it_is_written(api, tokens, alice):
    tell(api, **event(1, quantity=5, properties={"a": 1, "b": 2}))
    answer = tell(api, **event(1, quantity="5.0", properties={"b": 2, "a": 1}))
    assert statuses(answer) == [("duplicate", "")]
    assert answer.json()["events"][0]["event"] == str(UsageEvent.objects.get().pk)


def test_other_event_of_the_same_id_conflicts(api, tokens, alice):
    tell(api, **event(1, quantity=5))
    answer = tell(api, **event(1, quantity=6))
    assert (answer.status_code, answer.json()["code"]) == (409, "event_conflict")
    assert answer.json()["conflicts"] == 1
    assert UsageEvent.objects.get().quantity == 5


def test_same_id_of_another_source_is_another_event(api, tokens, alice):
    answer = tell(api, event(1), event(1, source="worker"))
    assert statuses(answer) == [("accepted", ""), ("accepted", "")]


def test_bad_events_leave_the_good_ones(api, tokens, alice):
    late, early = now() - timedelta(days=36), now() + timedelta(minutes=6)
    answer = tell(
        api,
        event(1),
        event(2, meter="none"),
        {**event(3), "user_id": "nobody"},
        event(4, quantity=-1),
        event(5, occurred_at=late.isoformat()),
        event(6, occurred_at=early.isoformat()),
        event(7, properties={"text": "x" * 4096}),
        event(8, qty=3),
        event(9, api="none"),
        event(10, quantity=True),
        event(11),
    )
    assert statuses(answer) == [
        ("accepted", ""),
        ("rejected", "unknown_meter"),
        ("rejected", "consumer_not_found"),
        ("rejected", "invalid_quantity"),
        ("rejected", "too_old"),
        ("rejected", "in_the_future"),
        ("rejected", "properties_too_large"),
        ("rejected", "invalid_event"),
        ("rejected", "unknown_api"),
        ("rejected", "invalid_quantity"),
        ("accepted", ""),
    ]
    assert UsageEvent.objects.count() == UsageKey.objects.count() == 2
    assert UsageRejection.objects.count() == 9


def test_event_that_was_refused_may_come_again(api, tokens, alice):
    tell(api, **event(1, meter="later"))
    alice.project.meters.create(code="later")
    assert statuses(tell(api, **event(1, meter="later"))) == [("accepted", "")]


def test_duplicate_stays_one_when_its_meter_is_gone(api, tokens, alice):
    tell(api, **event(1))
    tokens.archived_at = now()
    tokens.save(update_fields=["archived_at"])
    assert statuses(tell(api, event(1), event(2))) == [
        ("duplicate", ""),
        ("rejected", "unknown_meter"),
    ]


def test_repeats_within_a_request_are_told_apart(api, calls, alice):
    one = event(1, "calls", quantity=4)
    answer = tell(api, one, one, {**one, "quantity": 5}, event(2, "calls", quantity=7))
    assert [status for status, _ in statuses(answer)] == [
        *("accepted", "duplicate", "conflict", "rejected"),
    ]
    assert QuotaBalance.objects.get().used == 4


def test_smaller_event_of_a_refused_name_is_tried_within_the_request(api, calls, alice):
    answer = tell(api, event(1, "calls", quantity=11), event(1, "calls", quantity=10))
    assert statuses(answer) == [("rejected", "usage_exceeded"), ("accepted", "")]


def test_thousand_events_of_one_name_are_told_apart_in_a_few_statements(
    api, calls, alice, django_assert_max_num_queries
):
    told = [event(1, "calls", quantity=quantity) for quantity in range(1_009, 9, -1)]
    with django_assert_max_num_queries(12):
        answer = tell(api, *told)
    told = [status for status, _ in statuses(answer)]
    assert (told[:-1], told[-1]) == (["rejected"] * 999, "accepted")
    assert (QuotaBalance.objects.get().used, UsageEvent.objects.get().quantity) == (10, 10)


def test_repeats_of_a_refused_name_are_settled_in_turn(api, calls, tokens, alice):
    answer = tell(
        api,
        event(1, "calls", quantity=11),
        event(1, "calls", quantity=12),
        event(1, quantity=2),
        event(1, quantity="2.0"),
        event(1, "calls", quantity=11),
        event(2, "calls", quantity=10),
    )
    assert [status for status, _ in statuses(answer)] == [
        *("rejected", "rejected", "accepted", "duplicate", "rejected", "accepted"),
    ]


def test_batch_that_does_not_fit_is_taken_event_by_event(api, calls, alice):
    told = [event(n, "calls", quantity=quantity) for n, quantity in enumerate([6, 5, 3, 2, 1])]
    answer = tell(api, *told)
    assert [status for status, _ in statuses(answer)] == [
        *("accepted", "rejected", "accepted", "rejected", "accepted"),
    ]
    assert QuotaBalance.objects.get().used == 10
    assert UsageKey.objects.count() == UsageEvent.objects.count() == 3


def test_user_without_the_feature_is_refused(api, calls, bob):
    answer = tell(api, **{**event(1, "calls"), "user_id": "bob"})
    assert (answer.status_code, answer.json()["code"]) == (422, "feature_not_entitled")


def test_another_projects_user_is_unknown(api, tokens, mallory):
    answer = tell(api, **{**event(1), "user_id": mallory.public_id})
    assert (answer.status_code, answer.json()["code"]) == (422, "consumer_not_found")


def test_our_own_id_of_a_user_is_understood(api, tokens, alice):
    assert statuses(tell(api, **{**event(1), "user_id": alice.public_id})) == [("accepted", "")]


def test_late_event_takes_from_the_period_in_which_it_occurred(api, calls, alice):
    last_month = (now().replace(day=1) - timedelta(days=1)).replace(hour=1)
    tell(api, event(1, "calls"), event(2, "calls", occurred_at=last_month.isoformat()))
    starts = [balance.period_start.day for balance in QuotaBalance.objects.all()]
    assert starts == [1, 1]
    assert QuotaBalance.objects.filter(period_end__lte=now()).get().used == 1


def test_scope_is_needed(client, journal, backend, tokens):
    from keystore.services import issue_key

    key = issue_key(
        project=journal, owner=backend, scopes=("usage:read",), actor="system", at=now()
    )
    answer = client.post(
        PATH, "{}", content_type="application/json", headers={"X-API-Key": key.plaintext}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
