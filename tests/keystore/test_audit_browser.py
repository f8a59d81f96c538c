"""The audit trail is sifted, read as a difference, and taken along as a harmless file."""

import csv
import io

import pytest

from keystore import audit
from keystore.csvfile import safe_cell
from keystore.models import AuditEntry
from tests.staff import client_of

LIST = "/admin/keystore/auditentry/"
EXPORT = f"{LIST}export/"


@pytest.fixture
def trail(journal, alice):
    def one(act, **more):
        told = {"actor": "staff:sam", "target": alice, "consumer": alice, **more}
        return audit.record(act=act, **told)

    one("grant.give", after={"plan": "pro"}, reason="=HYPERLINK(1)")
    one("consumer.change", before={"name": "A"}, after={"email": "alice@example.com"})
    one("key.revoke", actor="app:app_1")
    return list(AuditEntry.objects.order_by("pk"))


def found(client, **asked):
    return [row.act for row in client.get(LIST, asked).context["cl"].result_list]


@pytest.mark.parametrize(("asked", "acts"), [
    ({"actor__icontains": "sam"}, ["consumer.change", "grant.give"]),
    ({"act__icontains": "key."}, ["key.revoke"]),
    ({"object_kind": "grant"}, []),
    ({"created_at_from": "2026-01-01", "created_at_to": "2026-01-02"}, []),
    ({"request_id__icontains": "req_none"}, []),
])  # fmt: skip
def test_trail_is_sifted(trail, asked, acts):
    assert found(client_of("Read-only"), **asked) == acts


def test_trail_is_sifted_by_consumer_and_project(trail, alice, orbit):
    client = client_of("Read-only")

    assert len(found(client, consumer_id__icontains=alice.public_id)) == 3
    assert found(client, project__id__exact=orbit.pk) == []


def test_entry_shows_what_was_and_what_is(trail):
    page = client_of("Read-only").get(f"{LIST}{trail[1].pk}/change/").content.decode()

    assert "<th>name</th><td>A***</td><td>-</td>" in page
    assert "<th>email</th><td>-</td><td>a***@example.com</td>" in page


def test_export_holds_the_filtered_list_and_is_on_record(trail):
    answer = client_of("Finance").post(f"{EXPORT}?actor__icontains=sam")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))

    assert [row["act"] for row in rows] == ["consumer.change", "grant.give"]
    assert rows[1]["reason"] == "'=HYPERLINK(1)"
    assert "alice@example.com" not in str(rows)
    assert answer.streaming
    entry = AuditEntry.objects.get(act="audit.export")
    assert (entry.actor, entry.after) == (
        "staff:finance",
        {"filters": {"actor__icontains": "sam"}, "entries": 2},
    )


@pytest.mark.parametrize("role", ["Support", "Read-only", "none"])
def test_export_needs_its_permission(trail, role):
    client = client_of(role)

    assert client.post(EXPORT).status_code == 403
    assert "Export this list" not in client.get(LIST).content.decode()
    assert AuditEntry.objects.count() == 3


def test_export_is_no_link(trail):
    assert client_of("Operator").get(EXPORT).status_code == 405


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_cell_that_starts_like_a_formula_is_text(start):
    assert safe_cell(f"{start}1+1") == f"'{start}1+1"


def test_other_cells_stay_as_they_are():
    assert [safe_cell(one) for one in ("a=b", 5, None, "", "\0=1")] == ["a=b", "5", "", "", "'=1"]
