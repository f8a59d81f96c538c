"""App keys, projects and the audit of edits in the admin."""

import re
from datetime import timedelta

import pytest

from config.clock import now
from keystore.models import ApiKey, AuditEntry, Project
from keystore.rotation import rotate_key
from keystore.selectors import find_key
from keystore.services import issue_key
from tests.staff import client_of


@pytest.fixture
def operator(db):
    return client_of("Operator")


def issue(client, app, **more):
    asked = {"_form_submitted": "on", "deed_reason": "new server", "key_environment": "live"}
    asked |= {"key_scopes": ["keys:read", "inbox:write"], "key_name": "server 2", **more}
    return client.post(f"/admin/keystore/app/{app.pk}/issue_app_key/", asked)


def test_app_key_is_shown_once_and_works(operator, backend):
    answer = issue(operator, backend)

    plaintext = re.search(r"lk_live_\w{36}", answer.content.decode()).group(0)
    key = find_key(plaintext)
    assert (key.app, key.scopes) == (backend, ["keys:read", "inbox:write"])
    assert "no-store" in answer.headers["Cache-Control"]


def test_app_key_is_on_no_other_page(operator, backend):
    plaintext = re.search(r"lk_live_\w{36}", issue(operator, backend).content.decode()).group(0)
    key = ApiKey.objects.get()

    for address in ("apikey/", f"apikey/{key.pk}/change/", f"app/{backend.pk}/change/"):
        page = operator.get(f"/admin/keystore/{address}").content.decode()
        assert plaintext not in page
        assert key.digest not in page
    assert str(key) in operator.get("/admin/keystore/apikey/").content.decode()
    assert AuditEntry.objects.get(act="key.issue").reason == "new server"


@pytest.mark.parametrize("missing", [{"deed_reason": ""}, {"key_scopes": []}])
def test_app_key_needs_reason_and_scopes(operator, backend, missing):
    issue(operator, backend, **missing)

    assert ApiKey.objects.count() == 0


def test_key_is_revoked_on_its_page(operator, backend):
    issue(operator, backend)
    key = ApiKey.objects.get()
    address = f"/admin/keystore/apikey/{key.pk}"

    answer = operator.post(f"{address}/revoke/", {"_form_submitted": "on", "deed_reason": "leaked"})

    key.refresh_from_db()
    assert key.revoked_at is not None
    assert answer.headers["HX-Redirect"] == f"{address}/change/"
    assert AuditEntry.objects.get(act="key.revoke").reason == "leaked"


def test_edit_of_a_project_is_on_record(operator, journal):
    operator.post(
        f"/admin/keystore/project/{journal.pk}/change/",
        {"name": "Journal 2", "allowed_origins": "https://app.example.com", "slug": "other"},
    )

    entry = AuditEntry.objects.get(act="project.change")
    assert (entry.actor, entry.before, entry.after) == (
        "staff:operator",
        {"name": "Journal"},
        {"name": "Journal 2"},
    )
    assert Project.objects.get().slug == "journal"


def test_nobody_deletes_a_project(journal):
    client = client_of("superuser")

    answer = client.post(f"/admin/keystore/project/{journal.pk}/delete/", {"post": "yes"})

    assert answer.status_code == 403
    assert Project.objects.count() == 1


def test_change_of_rights_is_on_record(db):
    from django.contrib.auth.models import Group

    client = client_of("superuser")
    role = Group.objects.get(name="Read-only")

    client.post(f"/admin/auth/group/{role.pk}/change/", {"name": "Lookers"})

    entry = AuditEntry.objects.get(act="group.change")
    assert (entry.actor, entry.after["name"]) == ("staff:superuser", "Lookers")


def test_users_and_roles_are_for_superusers(operator):
    assert operator.get("/admin/auth/user/").status_code == 403
    assert client_of("superuser").get("/admin/auth/user/add/").status_code == 200


def act(client, key, name, **asked):
    address = f"/admin/keystore/apikey/{key.pk}/{name}/"
    return client.post(address, {"_form_submitted": "on", "deed_reason": "asked for it", **asked})


def test_key_is_edited_on_its_page(operator, backend):
    issue(operator, backend)
    key = ApiKey.objects.get()
    wish = {"key_name": "x", "key_scopes": "keys:read", "key_networks": "10.0.0.1/8, ::1"}

    act(operator, key, "edit", key_limit="60", key_burst="", **wish)

    key.refresh_from_db()
    assert (key.name, key.scopes, key.own_limit_per_minute) == ("x", ["keys:read"], 60)
    assert key.allowed_cidrs == ["10.0.0.0/8", "::1/128"]
    assert AuditEntry.objects.get(act="key.edit").reason == "asked for it"


@pytest.mark.parametrize(
    "bad", [{"key_networks": "here"}, {"key_limit": "-1"}, {"key_scopes": "x" * 51}]
)
def test_edit_that_makes_no_sense_changes_nothing(operator, backend, bad):
    issue(operator, backend)
    key = ApiKey.objects.get()

    assert act(operator, key, "edit", **bad).status_code == 200
    assert not AuditEntry.objects.filter(act="key.edit").exists()


def test_cutoff_of_a_replaced_key_is_moved_on_its_page(operator, journal, alice):
    at = now()
    key = issue_key(project=journal, owner=alice, actor="system", at=at).key
    rotate_key(key=key, overlap=timedelta(days=1), actor="system", reason="", at=at)

    page = operator.get(f"/admin/keystore/apikey/{key.pk}/move_cutoff/").content.decode()
    act(operator, key, "move_cutoff", overlap="168")

    key.refresh_from_db()
    assert "not used since" in page
    assert key.expires_at > at + timedelta(days=6)
    assert AuditEntry.objects.filter(act="key.move_cutoff").count() == 1
