"""Before weighty acts staff say once more who they are; sessions of staff end in time."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User

from config.clock import now
from keystore import staff_sessions
from keystore.models import ApiKey, AuditEntry, Authenticator
from keystore.second_factor import begin_enrolment, confirm_enrolment
from tests.conftest import NOON
from tests.keystore.test_second_factor import code_at
from tests.staff import client_of

PASSWORD = "correct horse battery"


@pytest.fixture
def operator(db):
    """Somebody whose login was a while ago."""
    return waited(client_of("Operator"))


@pytest.fixture
def superuser(db):
    return waited(client_of("superuser"))


def waited(client):
    person = User.objects.get()
    person.set_password(PASSWORD)
    person.save()
    client.force_login(person)
    set_back(client, staff_sessions.PROVED, timedelta(minutes=11))
    return client


def set_back(client, name, by):
    session = client.session
    session[name] = (now() - by).timestamp()
    session.save()


def issue(client, app, **more):
    asked = {"_form_submitted": "on", "deed_reason": "new", "key_environment": "live"}
    asked |= {"key_scopes": ["keys:read"], **more}
    return client.post(f"/admin/keystore/app/{app.pk}/issue_app_key/", asked)


def test_login_of_a_moment_ago_is_proof_enough(db, backend):
    issue(client_of("Operator"), backend)

    assert ApiKey.objects.count() == 1


def test_dialog_asks_for_the_password_and_does_nothing_without(operator, backend):
    page = issue(operator, backend).content.decode()

    assert 'name="step_up_proof"' in page
    assert ApiKey.objects.count() == 0


def test_password_in_the_dialog_lets_the_act_through_on_record(operator, backend):
    issue(operator, backend, step_up_proof=PASSWORD)

    assert ApiKey.objects.count() == 1
    assert AuditEntry.objects.filter(act="staff.step_up", actor="staff:operator").count() == 1


def test_proof_holds_for_ten_minutes(operator, backend):
    issue(operator, backend, step_up_proof=PASSWORD)
    issue(operator, backend)
    set_back(operator, staff_sessions.PROVED, timedelta(minutes=10))

    issue(operator, backend)

    assert ApiKey.objects.count() == 2


def test_wrong_password_does_nothing_and_is_on_record(operator, backend):
    page = issue(operator, backend, step_up_proof="wrong").content.decode()

    assert "That is not your password" in page
    assert ApiKey.objects.count() == 0
    assert AuditEntry.objects.get().act == "staff.step_up_refused"
    attempt = AccessAttempt.objects.get()
    assert (attempt.username, attempt.failures_since_start) == ("operator", 1)
    assert "wrong" not in attempt.post_data


def test_wrong_passwords_lock_the_dialog_too(operator, backend):
    for _ in range(5):
        issue(operator, backend, step_up_proof="wrong")

    assert issue(operator, backend, step_up_proof=PASSWORD).status_code == 429
    assert ApiKey.objects.count() == 0


def test_lock_out_in_a_dialog_leads_to_the_page_that_says_so(operator, backend):
    for _ in range(4):
        issue(operator, backend, step_up_proof="wrong")
    asked = {"_form_submitted": "on", "deed_reason": "x", "step_up_proof": "wrong"}
    path = f"/admin/keystore/app/{backend.pk}/issue_app_key/"

    answer = operator.post(path, asked, headers={"HX-Request": "true"})

    assert answer.headers["HX-Redirect"] == "/admin/locked/"
    assert operator.get("/admin/locked/").status_code == 429


def test_code_of_the_app_is_proof_too(operator, backend):
    person = User.objects.get()
    secret = begin_enrolment(user=person)
    confirm_enrolment(user=person, code=code_at(secret, NOON), actor="staff:operator", at=NOON)
    session = operator.session
    session["otp_device_id"] = Authenticator.objects.get().persistent_id
    session.save()

    issue(operator, backend, step_up_proof=code_at(secret, now()))

    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("path", ["user/add/", "user/{pk}/change/", "user/{pk}/password/",
                                  "user/{pk}/delete/", "group/add/"])  # fmt: skip
def test_pages_about_rights_ask_first(superuser, path):
    address = f"/admin/auth/{path.format(pk=User.objects.get().pk)}"
    before = User.objects.count()

    for answer in (superuser.get(address), superuser.post(address, {"username": "eve"})):
        assert answer["Location"].startswith("/admin/step-up/?next=%2Fadmin%2Fauth")
    assert User.objects.count() == before


def test_step_up_page_leads_back(superuser):
    answer = superuser.post(
        "/admin/step-up/", {"step_up_proof": PASSWORD, "next": "/admin/auth/group/add/"}
    )

    assert answer["Location"] == "/admin/auth/group/add/"
    assert superuser.get("/admin/auth/group/add/").status_code == 200


def test_deleting_users_from_the_list_asks_first(superuser):
    kim = User.objects.create_user("kim")

    answer = superuser.post(
        "/admin/auth/user/",
        {"action": "delete_selected", "_selected_action": [kim.pk], "post": "yes"},
    )

    assert answer["Location"].startswith("/admin/step-up/")
    assert User.objects.filter(pk=kim.pk).exists()


def test_permission_to_edit_users_makes_nobody_mightier(operator):
    from django.contrib.auth.models import Permission

    person = User.objects.get()
    person.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    set_back(operator, staff_sessions.PROVED, timedelta())

    answer = operator.post(f"/admin/auth/user/{person.pk}/change/", {"is_superuser": "on"})

    assert answer.status_code == 403
    person.refresh_from_db()
    assert not person.is_superuser


def test_nobody_changes_their_own_rights(db):
    client = client_of("superuser")
    page = client.get(f"/admin/auth/user/{User.objects.get().pk}/change/").content.decode()

    assert 'name="is_superuser"' not in page
    assert 'name="email"' in page


def test_session_ends_when_nobody_uses_it(operator):
    set_back(operator, staff_sessions.SEEN, timedelta(minutes=30))

    assert operator.get("/admin/")["Location"].startswith("/admin/login/")
    assert "_auth_user_id" not in operator.session


def test_session_ends_after_twelve_hours_of_use(operator):
    set_back(operator, staff_sessions.SINCE, timedelta(hours=12))

    assert operator.get("/admin/").status_code == 302


def test_session_without_an_age_is_over(operator):
    session = operator.session
    del session[staff_sessions.SINCE]
    session.save()

    assert operator.get("/admin/").status_code == 302


def test_login_makes_a_new_session(client, db):
    User.objects.create_user("sam", password=PASSWORD, is_staff=True)
    client.get("/admin/login/")
    session = client.session
    session["before"] = 1
    session.save()
    client.cookies["sessionid"] = session.session_key

    client.post("/admin/login/", {"username": "sam", "password": PASSWORD})

    assert client.session.session_key != session.session_key


def test_whoever_is_switched_off_is_out_at_once_and_stays_out(db):
    kim = client_of("Support")
    person = User.objects.get()
    superuser = client_of("superuser")
    assert kim.get("/admin/").status_code == 200

    asked = {"username": "support", "is_staff": "on", "date_joined_0": "2026-01-01"}
    superuser.post(f"/admin/auth/user/{person.pk}/change/", {**asked, "date_joined_1": "00:00"})
    person.refresh_from_db()
    assert not person.is_active
    assert kim.get("/admin/").status_code == 302

    User.objects.filter(pk=person.pk).update(is_active=True)
    assert kim.get("/admin/").status_code == 302
