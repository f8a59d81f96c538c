"""The largest and oddest that is taken stops nobody: not the request, not the roll-up."""

import random
import string
from contextlib import suppress
from decimal import Decimal
from unittest.mock import patch

import pytest

from config.clock import now
from metering import rebuild, rollup
from metering.corrections import amend_event, void_event
from metering.errors import EventVoided
from metering.ingest import record
from metering.models import QuotaBalance, UsageTotal
from metering.told import told
from tests.metering.quota_cast import give, metered, sell
from tests.metering.test_events_api import event, statuses, tell
from tests.together import at_once

# The fence leaves out what an open transaction wrote, as a test's own would be.
pytestmark = pytest.mark.django_db(transaction=True)
NEARLY_TOO_MUCH = "9" * 26
TAKEN = ("accepted", "")


def incompressible(length):
    return "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=length))


def totals(grain="hour"):
    rollup.roll_up(clock=now)
    return list(UsageTotal.objects.filter(grain=grain).order_by("id"))


def test_largest_quantities_add_up(api, journal, alice):
    journal.meters.create(code="tokens")
    told = [event(n, quantity=NEARLY_TOO_MUCH) for n in range(3)]
    assert statuses(tell(api, *told)) == [TAKEN] * 3
    assert [total.quantity for total in totals()] == [3 * int(NEARLY_TOO_MUCH)]


def test_largest_quantities_add_up_against_a_limit(api, journal, alice):
    metered(journal)
    give(alice, plan=sell(journal, "tokens", limit=None))
    told = [event(n, quantity=NEARLY_TOO_MUCH) for n in range(3)]
    assert statuses(tell(api, *told)) == [TAKEN] * 3
    assert QuotaBalance.objects.get().used == 3 * int(NEARLY_TOO_MUCH)


@pytest.mark.parametrize("kind", ["sum", "unique"])
def test_dimension_longer_than_an_index_can_hold_is_totalled(api, journal, alice, kind):
    unique = {"aggregation": "unique", "value_property": "who"} if kind == "unique" else {}
    journal.meters.create(code="tokens", dimensions=["model"], **unique)
    long = incompressible(3_900)
    for n, model in enumerate((long, long, long + "x")):
        told = event(n, properties={"model": model, "who": "me"})
        assert statuses(tell(api, told)) == [TAKEN]
    # In which order PostgreSQL groups them depends on ids.
    assert {total.dims["model"]: total.events for total in totals()} == {long: 2, long + "x": 1}
    assert UsageTotal.objects.filter(grain="hour").count() == 2
    assert rebuild.prove_totals().differences == []


def reserve(api, quantity):
    told = {"user_id": "alice", "meter": "tokens", "quantity": quantity}
    return api.post("/api/v1/quota/reservations", told, content_type="application/json").json()


def settle(api, name, **told):
    path = f"/api/v1/quota/reservations/{name}/settle"
    return api.post(path, told, content_type="application/json")


@pytest.fixture
def tokens(journal, alice):
    give(alice, plan=sell(journal, "tokens", limit=10**18))
    return metered(journal)


def test_nobody_can_take_the_name_of_the_event_that_settles(api, tokens):
    name = reserve(api, "4")["id"]
    forged = event(1) | {"id": name, "source": "latchkey:reservation"}
    assert statuses(tell(api, forged, event(2))) == [("rejected", "invalid_event"), TAKEN]
    assert settle(api, name).json()["state"] == "settled"


def test_void_of_38_digits_leaves_nothing(api, journal, alice):
    journal.meters.create(code="tokens")
    tell(api, **event(1, quantity="12345678901234567890123456.123456789012"))
    api.post("/api/v1/usage/events/e1/void", {"reason": "x"}, content_type="application/json")
    assert [total.quantity for total in totals()] == [0]


def test_quantity_of_26_and_13_digits_is_not_rounded(api, journal, alice):
    journal.meters.create(code="tokens")
    told = event(1, quantity="12345678901234567890123456.1234567890123")
    assert statuses(tell(api, told, event(2))) == [("rejected", "invalid_quantity"), TAKEN]


def test_other_quantity_behind_the_28th_digit_is_a_conflict(api, journal, alice):
    journal.meters.create(code="tokens")
    told = [event(1, quantity=f"12345678901234567890123456.12345678901{n}") for n in (1, 2)]
    assert [status for status, _ in statuses(tell(api, *told))] == ["accepted", "conflict"]


def test_settled_to_the_last_digit(api, tokens):
    name = reserve(api, "12345678901234567.123456789012")["id"]
    other = reserve(api, "12345678901234567.000000000001")["id"]
    settle(api, name)
    settle(api, other, quantity=0)
    balance = QuotaBalance.objects.get()
    assert (str(balance.used), balance.reserved) == ("12345678901234567.123456789012", 0)


def test_event_with_a_property_beyond_64_bits_is_amended(api, journal, alice):
    journal.meters.create(code="tokens")
    tell(api, **event(1, properties={"size": 1e300}))
    told = {"reason": "x", "quantity": 5}
    answer = api.post("/api/v1/usage/events/e1/amend", told, content_type="application/json")
    assert (answer.status_code, answer.json()["quantity"]) == (200, 5)
    assert float(answer.json()["properties"]["size"]) == 1e300


def test_binary_cloudevent_whose_id_cannot_be_kept_is_refused(api, journal, alice):
    names = {"id": "%00a", "source": "b%00", "type": "tokens", "subject": "alice", "time": "never"}
    headers = {f"ce-{name}": value for name, value in {"specversion": "1.0", **names}.items()}
    told = {"content_type": "application/json", "headers": headers}
    answer = api.post("/api/v1/usage/events", "{}", **told)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_event")


def test_void_that_waits_for_an_amendment_finds_the_event(api, journal, alice):
    journal.meters.create(code="tokens")
    tell(api, **event(1))
    told = {"project": journal, "event_id": "e1", "reason": "x", "actor": "x", "at": now()}
    acts = [
        lambda: amend_event(**told, quantity=Decimal(2)),
        lambda: amend_event(**told, quantity=Decimal(3)),
        lambda: void_event(**told),
    ]

    def act():
        with suppress(EventVoided):
            acts.pop()()

    at_once(act, times=3)
    assert [total.quantity for total in totals()] == [0]


def test_batches_in_opposite_order_do_not_lock_each_other_out(journal):
    metered(journal, aggregation="max")
    plan = sell(journal, "tokens", limit=1000)
    users = [journal.consumers.create(external_id=f"user{n}") for n in range(20)]
    for user in users:
        give(user, plan=plan)
    orders = [users, users[::-1]] * 2
    nothing = {"source": "", "occurred_at": None, "properties": b"", "api": "", "key": ""}

    def record_all():
        order, batch = orders.pop(), len(orders)
        names = [user.external_id for user in order]
        events = [
            told(id=f"{batch} {name}", meter="tokens", user_id=name, quantity=b"5", **nothing)
            for name in names
        ]
        return {receipt.status for receipt in record(project=journal, events=events, at=now())}

    with patch("keystore.locking.TRIES", 1):  # not by trying again
        assert at_once(record_all, times=4) == [{"accepted"}] * 4
