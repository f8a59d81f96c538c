import pytest
from django.db import DatabaseError, connection, transaction

from keystore import audit
from keystore.correlation import bound
from keystore.models import AuditEntry
from tests.conftest import NOON


def test_entry_names_the_target_and_the_request(alice, journal):
    with bound("req_1"):
        entry = audit.record(
            actor="staff:sam",
            act="consumer.rename",
            target=alice,
            consumer=alice,
            before={"at": NOON},
            reason="asked",
        )

    entry.refresh_from_db()
    assert (entry.object_kind, entry.object_id) == ("consumer", alice.public_id)
    assert (entry.project, entry.consumer_id) == (journal, alice.public_id)
    assert (entry.before, entry.after) == ({"at": "2026-03-01T12:00:00Z"}, None)
    assert entry.request_id == "req_1"


@pytest.mark.parametrize(
    "statement",
    ["UPDATE keystore_auditentry SET actor = 'nobody'", "DELETE FROM keystore_auditentry"],
)
def test_database_refuses_to_change_what_was_audited(alice, statement):
    audit.record(actor="system", act="consumer.register", target=alice)

    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        connection.cursor().execute(statement)

    assert AuditEntry.objects.get().actor == "system"
