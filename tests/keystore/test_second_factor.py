"""The second factor: switched on, asked for, never replayed, taken away only on record."""

import base64
import re
from datetime import timedelta

import pytest
from django_otp.oath import TOTP

from config.clock import now
from keystore.models import AuditEntry, Authenticator, RecoveryCode
from keystore.second_factor import (
    TooManyCodes,
    WrongCode,
    begin_enrolment,
    check_code,
    confirm_enrolment,
)
from tests.conftest import NOON
from tests.staff import client_of

ENROL, VERIFY = "/admin/second-factor/enrol/", "/admin/second-factor/"


def code_at(secret, at):
    made = TOTP(base64.b32decode(secret.replace(" ", "")))
    made.time = at.timestamp()
    return f"{made.token():06d}"


@pytest.fixture
def sam(django_user_model, db):
    return django_user_model.objects.create_user("sam", password="long enough", is_staff=True)


@pytest.fixture
def secret(sam):
    """What sam's app has learnt."""
    return begin_enrolment(user=sam)


@pytest.fixture
def enrolled(sam, secret):
    code = code_at(secret, NOON)
    return confirm_enrolment(user=sam, code=code, actor="staff:sam", at=NOON)


def give(enrolled, code, at):
    check_code(authenticator=enrolled.authenticator, code=code, actor="staff:sam", at=at)


def test_secret_is_sealed_in_the_database(sam, secret):
    kept = bytes(Authenticator.objects.get().sealed)

    assert secret.encode() not in kept
    assert base64.b32decode(secret) not in kept
    assert begin_enrolment(user=sam) == secret


def test_wrong_code_switches_nothing_on(sam, secret):
    with pytest.raises(WrongCode):
        confirm_enrolment(user=sam, code="000000", actor="staff:sam", at=NOON)

    assert not Authenticator.objects.get().confirmed
    assert RecoveryCode.objects.count() == 0


def test_code_counts_once(enrolled, secret):
    later = NOON + timedelta(seconds=60)
    code = code_at(secret, later)
    give(enrolled, code, later)

    with pytest.raises(WrongCode):
        give(enrolled, code, later)


def test_code_of_the_enrolment_does_not_count_again(enrolled, secret):
    with pytest.raises(WrongCode):
        give(enrolled, code_at(secret, NOON), NOON)


@pytest.mark.parametrize(("off", "good"), [(-60, False), (-30, True), (30, True), (60, False)])
def test_clock_may_be_off_by_half_a_minute(enrolled, secret, off, good):
    later = NOON + timedelta(minutes=10)
    code = code_at(secret, later + timedelta(seconds=off))
    try:
        give(enrolled, code, later)
        taken = True
    except WrongCode:
        taken = False

    assert taken is good


def test_fifth_wrong_code_makes_a_pause_that_grows(enrolled, secret):
    at = NOON + timedelta(minutes=5)
    for _ in range(5):
        with pytest.raises(WrongCode):
            give(enrolled, "000000", at)

    with pytest.raises(TooManyCodes):
        give(enrolled, code_at(secret, at), at)
    with pytest.raises(WrongCode):
        give(enrolled, "000000", at + timedelta(seconds=61))
    with pytest.raises(TooManyCodes):
        give(enrolled, "000000", at + timedelta(seconds=150))
    after = at + timedelta(seconds=200)
    give(enrolled, code_at(secret, after), after)


def test_recovery_code_works_once_and_is_not_kept(enrolled):
    code = enrolled.recovery_codes[0]
    give(enrolled, code.upper().replace("-", " "), NOON)

    with pytest.raises(WrongCode):
        give(enrolled, code, NOON)
    assert code not in str(list(RecoveryCode.objects.values()))
    entry = AuditEntry.objects.get(act="second_factor.recover")
    assert entry.after == {"recovery_codes_left": 9}


@pytest.mark.django_db(transaction=True)
def test_two_at_once_use_a_code_once(django_user_model):
    from tests.together import at_once

    sam = django_user_model.objects.create_user("sam", is_staff=True)
    secret = begin_enrolment(user=sam)
    made = confirm_enrolment(user=sam, code=code_at(secret, NOON), actor="staff:sam", at=NOON)
    later = NOON + timedelta(minutes=1)

    def one():
        try:
            give(made, code_at(secret, later), later)
        except WrongCode:
            return False
        return True

    taken = at_once(one, times=4)

    assert sorted(taken) == [False, False, False, True]


@pytest.fixture
def client_of_sam(client, sam):
    client.force_login(sam)
    return client


def test_nobody_gets_in_without_a_factor_where_it_is_required(client_of_sam, settings):
    settings.STAFF_SECOND_FACTOR = "required"

    for address in ("/admin/", "/admin/keystore/consumer/", "/admin/step-up/", "/admin/nowhere/"):
        answer = client_of_sam.get(address)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, ENROL)
    assert client_of_sam.post("/admin/password_change/").status_code == 302


def test_dialog_is_sent_on_as_a_whole_page(client_of_sam, settings):
    settings.STAFF_SECOND_FACTOR = "required"

    answer = client_of_sam.get(
        "/admin/x/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/admin/y/"}
    )

    assert answer["HX-Redirect"] == f"{ENROL}?next=%2Fadmin%2Fy%2F"


def test_unknown_mode_is_taken_for_required(client_of_sam, settings):
    settings.STAFF_SECOND_FACTOR = "of course"

    assert client_of_sam.get("/admin/").status_code == 302


def test_optional_lets_in_who_has_none_and_asks_who_has_one(client_of_sam, settings, sam, secret):
    settings.STAFF_SECOND_FACTOR = "optional"
    assert client_of_sam.get("/admin/").status_code == 200
    confirm_enrolment(user=sam, code=code_at(secret, NOON), actor="staff:sam", at=NOON)

    assert client_of_sam.get("/admin/")["Location"] == f"{VERIFY}?next=%2Fadmin%2F"


def test_code_opens_the_admin_under_a_new_session(client_of_sam, enrolled, secret):
    before = client_of_sam.session.session_key

    answer = client_of_sam.post(VERIFY, {"code": code_at(secret, now()), "next": "/admin/?x=1"})

    assert (answer.status_code, answer["Location"]) == (302, "/admin/?x=1")
    assert client_of_sam.get("/admin/").status_code == 200
    assert client_of_sam.session.session_key != before


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/docs", "javascript:x"]
)
def test_way_back_leads_nowhere_else(client_of_sam, enrolled, secret, target):
    answer = client_of_sam.post(VERIFY, {"code": code_at(secret, now()), "next": target})

    assert answer["Location"] == "/admin/"


def test_enrolment_page_leads_from_qr_to_codes_shown_once(client_of_sam, sam):
    page = client_of_sam.get(ENROL).content.decode()
    shown = re.search(r'id="secret"[^>]*>([A-Z2-7 ]+)<', page).group(1)
    assert "data:image/svg+xml" in page

    answer = client_of_sam.post(ENROL, {"code": code_at(shown, now())})

    codes = re.findall(r"<code class=\"select-all\">([\w-]{14})</code>", answer.content.decode())
    assert len(codes) == 10
    assert "no-store" in answer["Cache-Control"]
    again = client_of_sam.get(ENROL).content.decode()
    assert codes[0] not in again
    assert shown not in again
    assert AuditEntry.objects.filter(act="second_factor.enrol", actor="staff:sam").count() == 1


def test_somebody_elses_factor_opens_nothing(client, enrolled, settings, django_user_model):
    settings.STAFF_SECOND_FACTOR = "required"
    kim = django_user_model.objects.create_user("kim", is_staff=True)
    client.force_login(kim)
    session = client.session
    session["otp_device_id"] = enrolled.authenticator.persistent_id
    session.save()

    assert client.get("/admin/")["Location"].startswith(ENROL)


def reset(client, enrolled):
    return client.post(
        f"/admin/keystore/authenticator/{enrolled.authenticator.pk}/reset/",
        {"_form_submitted": "on", "deed_reason": "lost phone"},
    )


def test_operator_resets_a_lost_factor_on_record(enrolled):
    reset(client_of("Operator"), enrolled)

    assert Authenticator.objects.count() == 0
    entry = AuditEntry.objects.get(act="second_factor.reset")
    assert (entry.actor, entry.reason) == ("staff:operator", "lost phone")


def test_operator_does_not_reset_a_superuser(enrolled, sam):
    sam.is_superuser = True
    sam.save()

    reset(client_of("Operator"), enrolled)

    assert Authenticator.objects.count() == 1


@pytest.mark.parametrize("role", ["Support", "Finance", "Read-only", "none"])
def test_others_reset_nothing(enrolled, role):
    assert reset(client_of(role), enrolled).status_code == 403
    assert Authenticator.objects.count() == 1
