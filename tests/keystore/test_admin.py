"""App keys, projects and the audit of edits in the admin."""

import re

import pytest

from keystore.models import ApiKey, AuditEntry, Project
from keystore.selectors import find_key
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
