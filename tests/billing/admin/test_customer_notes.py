"""Notes and tags beside a customer, and a customer who is not known yet."""

import pytest

from config.clock import now
from keystore.models import AuditEntry, Consumer, ConsumerNote
from keystore.notes import set_tags, write_note
from tests.billing.admin.conftest import page_of, say
from tests.billing.admin.customer_page_cast import LIST, WHO, text
from tests.staff import client_of


def test_note_is_kept_shown_and_taken_down(support, alice):
    support.post(page_of(alice, "add_note"), say("Prefers <b>mail</b>"))
    note = ConsumerNote.objects.get()

    assert "Prefers &lt;b&gt;mail&lt;/b&gt;" in text(support, alice)
    support.post(page_of(alice, "remove_note"), say("settled", which_note=note.public_id))

    assert "Prefers" not in text(support, alice)
    told = AuditEntry.objects.filter(act__startswith="note.").order_by("pk")
    assert [(entry.act, entry.reason) for entry in told] == [
        ("note.add", ""),
        ("note.remove", "settled"),
    ]


def test_note_of_another_consumer_is_not_taken_down(support, alice, bob):
    note = write_note(consumer=bob, text="Not yours", actor="staff:sam", at=now())

    support.post(page_of(alice, "remove_note"), say(which_note=note.public_id))

    note.refresh_from_db()
    assert note.removed_at is None


def test_tags_are_set_shown_and_filter_the_list(support, alice, bob):
    support.post(page_of(alice, "set_tags"), say(tags="VIP, beta , vip,"))

    alice.refresh_from_db()
    assert alice.tags == ["beta", "vip"]
    assert AuditEntry.objects.get(act="consumer.tag").after == {"tags": ["beta", "vip"]}
    page = support.get(LIST, {"tag": "vip"}).content.decode()
    assert page_of(alice) in page
    assert page_of(bob) not in page


def test_same_tags_again_change_nothing(alice):
    said = {"actor": "staff:sam", "reason": "", "at": now()}
    assert set_tags(consumer=alice, tags=["vip"], **said)
    assert not set_tags(consumer=alice, tags=["VIP"], **said)
    assert AuditEntry.objects.filter(act="consumer.tag").count() == 1


@pytest.mark.parametrize("tags", ["x" * 41, ",".join(f"t{n}" for n in range(21))])
def test_too_many_or_too_long_tags_are_refused(support, alice, tags):
    answer = support.post(page_of(alice, "set_tags"), say(tags=tags))

    alice.refresh_from_db()
    assert "At most 20 tags of at most 40 characters each." in answer.content.decode()
    assert alice.tags == []


def test_support_adds_a_consumer(support, journal):
    asked = say("a call", project=journal.pk, own_id="dora", email="dora@example.com")

    answer = support.post(f"{LIST}register/", asked)

    dora = Consumer.objects.get(external_id="dora")
    entry = AuditEntry.objects.get(act="consumer.register")
    assert (dora.email, entry.actor, entry.reason) == (
        "dora@example.com",
        "staff:support",
        "a call",
    )
    assert answer.headers["HX-Redirect"] == page_of(dora)


def test_consumer_who_is_known_is_not_added(support, alice):
    answer = support.post(f"{LIST}register/", say(project=alice.project_id, own_id="alice"))

    assert "knows alice already" in answer.content.decode()
    assert AuditEntry.objects.count() == 0


@pytest.mark.parametrize("act", WHO)
@pytest.mark.parametrize("role", ["Support", "Finance", "Operator", "Read-only", "none"])
def test_notes_and_tags_are_for_those_who_serve(alice, act, role):
    client = client_of(role)
    statuses = {client.get(page_of(alice, act)).status_code}
    statuses.add(client.post(page_of(alice, act), say("")).status_code)

    assert statuses == ({200} if role in WHO[act] else {403})
    assert AuditEntry.objects.count() == 0


@pytest.mark.parametrize("role", ["Support", "Finance", "Operator", "Read-only", "none"])
def test_consumers_are_added_by_support_and_operators(db, role):
    expected = 200 if role in ("Support", "Operator") else 403

    assert client_of(role).get(f"{LIST}register/").status_code == expected
