"""Guessing passwords of staff locks the guesser out, and nobody else."""

import pytest
from axes.models import AccessAttempt

from keystore.models import AuditEntry
from tests.staff import client_of

PASSWORD = "correct horse battery"
LOGIN = "/admin/login/"


@pytest.fixture
def sam(django_user_model, db):
    return django_user_model.objects.create_user("sam", password=PASSWORD, is_staff=True)


def attempt(client, password=PASSWORD, *, address="203.0.113.7", forwarded=None, user="sam"):
    extra = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    asked = {"username": user, "password": password}
    return client.post(LOGIN, asked, REMOTE_ADDR=address, **extra)


def guess(client, times, **more):
    return [attempt(client, "wrong", **more).status_code for _ in range(times)]


def test_fifth_wrong_password_locks_out_and_says_until_when(client, sam):
    assert guess(client, 5) == [200, 200, 200, 200, 429]

    answer = attempt(client)

    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 900
    assert 'id="try-again"' in answer.content.decode()
    assert "sessionid" not in client.cookies


def test_a_try_while_locked_out_does_not_move_the_hour(client, sam):
    guess(client, 5)
    before = AccessAttempt.objects.get().attempt_time

    attempt(client)

    assert AccessAttempt.objects.get().attempt_time == before


def test_lock_ends_by_itself(client, sam):
    from datetime import timedelta

    from config.clock import now

    guess(client, 5)
    AccessAttempt.objects.update(attempt_time=now() - timedelta(minutes=16))

    assert attempt(client).status_code == 302


def test_guesser_does_not_lock_the_owner_out(client, sam):
    guess(client, 5, address="198.51.100.9")

    assert attempt(client, address="203.0.113.7").status_code == 302


def test_other_users_of_the_address_are_not_locked_out(client, sam, django_user_model):
    django_user_model.objects.create_user("kim", password=PASSWORD, is_staff=True)
    guess(client, 5)

    assert attempt(client, user="kim").status_code == 302


def test_forged_forwarding_neither_escapes_nor_locks_others(client, sam, settings):
    settings.TRUSTED_PROXY_COUNT = 1
    for number in range(5):
        attempt(client, "wrong", address="10.0.0.1", forwarded=f"8.8.8.{number}, 198.51.100.9")

    escape = attempt(client, address="10.0.0.1", forwarded="203.0.113.7, 198.51.100.9")
    owner = attempt(client, address="10.0.0.1", forwarded="203.0.113.7")

    assert (escape.status_code, owner.status_code) == (429, 302)


def test_forwarding_counts_for_nothing_without_a_proxy(client, sam):
    for number in range(5):
        attempt(client, "wrong", forwarded=f"8.8.8.{number}")

    assert attempt(client, forwarded="9.9.9.9").status_code == 429


def test_one_line_of_ipv6_is_one_guesser(client, sam):
    for number in range(5):
        attempt(client, "wrong", address=f"2001:db8:1:2::{number}")

    assert attempt(client, address="2001:db8:1:2:ffff::1").status_code == 429
    assert attempt(client, address="2001:db8:1:3::1").status_code == 302


def test_no_password_is_kept(client, sam):
    guess(client, 2)

    kept = AccessAttempt.objects.values_list("post_data", "get_data", "path_info")
    assert "wrong" not in str(list(kept))


def test_operator_lets_somebody_try_again_on_record(client, sam):
    guess(client, 5)
    row = AccessAttempt.objects.get()

    answer = client_of("Operator").post(
        f"/admin/axes/accessattempt/{row.pk}/unlock/",
        {"_form_submitted": "on", "deed_reason": "called back"},
    )

    assert answer.headers["HX-Redirect"] == "/admin/axes/accessattempt/"
    entry = AuditEntry.objects.get(act="login.unlock")
    assert (entry.actor, entry.reason) == ("staff:operator", "called back")
    assert attempt(client).status_code == 302


@pytest.mark.parametrize("role", ["Support", "Finance", "Read-only", "none"])
def test_others_do_not_unlock(client, sam, role):
    guess(client, 5)
    row = AccessAttempt.objects.get()

    answer = client_of(role).post(
        f"/admin/axes/accessattempt/{row.pk}/unlock/",
        {"_form_submitted": "on", "deed_reason": "please"},
    )

    assert answer.status_code == 403
    assert attempt(client).status_code == 429


def test_nobody_edits_what_is_known_of_logins(client, sam):
    guess(client, 1)
    row = AccessAttempt.objects.get()
    superuser = client_of("superuser")

    assert superuser.get(f"/admin/axes/accessattempt/{row.pk}/change/").status_code == 200
    for act in ("change", "delete"):
        answer = superuser.post(f"/admin/axes/accessattempt/{row.pk}/{act}/", {"post": "yes"})
        assert answer.status_code == 403
