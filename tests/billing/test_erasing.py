"""A person is forgotten: nothing says who they were, what they paid is still on the books."""

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError

from billing import gateway
from billing.customers import find_holder
from billing.erasing import erase_consumer
from billing.inbox import work_due
from billing.invariants import check_all
from billing.merging import merge_consumers
from billing.models import Creator, Drift, Operation
from billing.operations import settle_due
from billing.receipt import keep
from billing.sync import sync_customer
from config.errors import InvalidInput
from keystore.erasing import ERASED, Forgetter, NotErasable, forget_told_names
from keystore.models import ApiKey, AuditEntry, Consumer, OutboxMessage
from keystore.notes import set_tags, write_note
from keystore.selectors import consumer_of
from keystore.services import issue_key, register_consumer
from tests.billing.reconciliation.conftest import look, settle
from tests.billing.subscribers import subscribe
from tests.billing.usage_cast import customer
from tests.conftest import NOON

__all__ = ["look", "settle"]  # fixtures

TRACES = ("alice@example.com", "alice in wonder", "rabbit")
TABLES = """
SELECT format('%I', c.relname) FROM pg_class AS c
WHERE c.relname <> 'keystore_change'  -- forgotten after ten minutes
  AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
"""


def erase(consumer, clock=lambda: NOON, reason="asked by mail"):
    return erase_consumer(consumer=consumer, actor="staff:sam", reason=reason, clock=clock)


def traces(*names):
    """Table -> a row of it in which one of the names still stands."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        for (table,) in cursor.fetchall():
            for name in names:
                cursor.execute(
                    f"SELECT to_jsonb(t)::text FROM {table} AS t"
                    " WHERE to_jsonb(t)::text ILIKE %s LIMIT 1",
                    [f"%{name}%"],
                )
                row = cursor.fetchone()
                if row:
                    found[table] = row[0]
    return found


@pytest.fixture
def wonder(alice):
    """alice under all the names that anybody may have given her."""
    Consumer.objects.filter(pk=alice.pk).update(
        name="Alice in Wonder", external_id="alice@example.com"
    )
    alice.refresh_from_db()
    return alice


@pytest.mark.django_db(transaction=True)
def test_nothing_says_who_it_was_and_the_money_stays(
    journal, wonder, pro_monthly, lifetime, bought_once, clock, look, settle, settings
):
    settings.RECONCILIATION_REQUESTS_PER_SECOND = 10_000.0
    journal.hook_endpoints.create(
        url="https://x.example/", kinds=["key.created"], sealed_secret=b""
    )
    payment = bought_once(wonder, lifetime)
    his = customer(wonder)
    told = {"id": his, "object": "customer", "email": wonder.email, "name": wonder.name}
    event = {"id": "evt_1", "object": "event", "type": "customer.updated", "livemode": False,
             "created": int(NOON.timestamp()), "data": {"object": told}}  # fmt: skip
    keep(event=event, at=NOON)
    work_due(clock=clock)
    issue_key(project=journal, owner=wonder, name="of the rabbit", actor="system", at=NOON)
    write_note(consumer=wonder, text="likes the rabbit", actor="staff:sam", at=NOON)
    set_tags(consumer=wonder, tags=["rabbit"], actor="staff:sam", reason="Rabbit", at=NOON)
    assert traces(*TRACES)

    erasure = erase(wonder, clock, reason="alice@example.com wrote to us")
    settle_due(at=clock())

    assert (erasure.done, erasure.customers) == (True, [(his, False)])
    left = traces("alice@example.com", "alice in wonder")
    assert left == {}, str(left)
    assert AuditEntry.objects.get(act="consumer.erase").reason == f"{wonder.public_id} wrote to us"
    assert not ApiKey.objects.filter(revoked_at=None, consumer=wonder).exists()
    payment.refresh_from_db()
    assert (payment.captured_minor, payment.consumer_id) == (9900, wonder.pk)
    assert gateway.read(f"/v1/customers/{his}")["deleted"]
    holder = find_holder(stripe_customer_id=his)
    assert holder.deleted_at == clock()
    # The same event again, and one about money, bring nothing back.
    keep(event={**event, "id": "evt_2"}, at=clock())
    charge = gateway.read(f"/v1/charges/{payment.stripe_charge_id}")
    assert charge["billing_details"]["email"]
    about = {**event, "id": "evt_3", "type": "charge.updated", "data": {"object": charge}}
    keep(event=about, at=clock())
    work_due(clock=clock)
    sync_customer(
        stripe_customer_id=his, clock=clock, touched=[("charge", payment.stripe_charge_id)]
    )
    assert traces("alice@example.com", "alice in wonder", charge["billing_details"]["email"]) == {}
    settle()
    look()
    assert not Drift.objects.exists()
    assert {row.code for row in check_all(at=clock()) if row.violations} <= {
        "jobs-run",
        "hooks-are-delivered",
    }


@pytest.mark.django_db(transaction=True)
def test_a_running_subscription_stands_against_it(alice, pro_monthly, clock):
    subscription = subscribe(alice, pro_monthly, clock)
    with pytest.raises(NotErasable, match=f"{subscription} .Pro. still runs: cancel it now"):
        erase(alice, clock)
    alice.refresh_from_db()
    assert (alice.email, alice.erased_at) == ("alice@example.com", None)
    assert not Operation.objects.filter(kind="delete_customer").exists()


@pytest.mark.django_db
def test_whoever_comes_later_under_the_name_is_somebody_new(journal, alice):
    erase(alice)
    assert consumer_of(project=journal, user_id="alice") is None
    assert consumer_of(project=journal, user_id=alice.public_id) is None
    new = register_consumer(project=journal, external_id="alice")
    assert (new.pk != alice.pk, new.email) == (True, "")


@pytest.mark.django_db
def test_the_same_erasure_again_changes_nothing(alice):
    assert erase(alice).done
    assert not erase(alice).done
    assert AuditEntry.objects.filter(act="consumer.erase").count() == 1


@pytest.mark.django_db
def test_all_names_of_a_merged_person_go(journal, alice, bob):
    why = {"actor": "staff:sam", "reason": "bob@example.com"}
    merge_consumers(duplicate=bob, survivor=alice, clock=lambda: NOON, **why)
    with pytest.raises(NotErasable, match="erase that one"):
        erase(Consumer.objects.get(pk=bob.pk))
    erase(alice)
    assert traces("alice@example.com", "bob@example.com") == {}
    assert consumer_of(project=journal, user_id="bob") is None
    names = set(Consumer.objects.values_list("external_id", flat=True))
    assert names == {alice.public_id, bob.public_id}


@pytest.mark.django_db
def test_a_creator_is_not_erased(journal, alice):
    Creator.objects.create(project=journal, consumer=alice, country="DE", currency="eur")
    with pytest.raises(NotErasable, match="sell APIs"):
        erase(alice)


@pytest.mark.django_db
def test_an_erasure_needs_a_reason(alice):
    with pytest.raises(InvalidInput):
        erase(alice, reason="  ")


@pytest.mark.django_db
def test_apps_are_told_and_the_name_is_forgotten_when_they_were(journal, alice):
    journal.hook_endpoints.create(url="https://x.example/", kinds=[], sealed_secret=b"")
    erase(alice)
    message = OutboxMessage.objects.get(kind="consumer.erased")
    assert message.data == {"id": alice.public_id, "user_id": "alice"}
    assert forget_told_names() == 0
    message.deliveries.update(state="delivered")
    assert forget_told_names() == 1
    message.refresh_from_db()
    assert message.data == {"id": alice.public_id}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE keystore_auditentry SET act = 'x'",
        "UPDATE keystore_auditentry SET created_at = now()",
        "DELETE FROM keystore_auditentry",
    ],
)
def test_the_audit_trail_takes_no_other_change_even_then(alice, change):
    erase(alice)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL latchkey.erasing = 'on'")
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
            cursor.execute(change)


@pytest.mark.django_db
def test_texts_are_not_changed_without_saying_so(alice):
    erase(alice)
    change = "UPDATE keystore_auditentry SET reason = 'x'"
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="never changed"):
        cursor.execute(change)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("42", "con_1"),
        ("order 42", "order 42"),  # too short to be looked for in other text
        ("Bob Brown called", f"{ERASED} called"),
        ("BOB BROWN", ERASED),
        ("bob browning", "bob browning"),
        ("write to b@c.example", f"write to {ERASED}"),
        ("", ""),
    ],
)
def test_names_are_taken_out_of_texts(text, left):
    person = Consumer(external_id="42", public_id="con_1", email="bob@x.example", name="Bob Brown")
    assert Forgetter([person]).text(text) == left


def test_what_stands_under_a_name_goes_whatever_it_is():
    person = Consumer(external_id="42", public_id="con_1")
    told = {"tags": ["vip"], "list": [{"name": "Alice's laptop", "n": 1}], "42": None}
    left = {"tags": [], "list": [{"name": ERASED, "n": 1}], "con_1": None}
    assert Forgetter([person]).value(told) == left
