"""Whose tokens a project accepts: services, the pages of staff, and the command."""

import io
import re
from datetime import timedelta

import jwt
import pytest
from django.core.management import CommandError, call_command

from config.clock import now
from config.errors import InvalidInput, Unavailable
from keystore import issuers, sender
from keystore.endusers import read_token
from keystore.errors import InvalidToken
from keystore.models import AuditEntry, TokenIssuer
from tests.conftest import NOON
from tests.keystore.test_endusers import RSA_KEY, claims, public
from tests.keystore.tokens_cast import accept_tokens, token_for
from tests.staff import client_of

GOOD = "0123456789abcdef" * 2
PAGE = "/admin/keystore/tokenissuer"
SAID = {"_form_submitted": "on", "deed_reason": "asked for"}
TERMS = {"issuer": "https://a.example", "audience": "journal"}


def make(project, **more):
    return issuers.make_issuer(project=project, actor="staff:sam", at=NOON, **TERMS, **more)


def signed(secret):
    return jwt.encode(claims(iss=TERMS["issuer"]), secret, "HS256")


def person(token):
    return read_token(token=token, at=now()).external_id


def test_secret_is_made_sealed_and_on_record_without_itself(journal):
    made = make(journal)
    assert len(made.secret) >= 64
    assert person(signed(made.secret)) == "ada"
    entry = AuditEntry.objects.get(act="issuer.make")
    assert made.secret not in str([entry.after, bytes(made.issuer.sealed_secret)])


@pytest.mark.parametrize(
    "terms",
    [
        {"secret": "s" * 31},
        {"secret": "a" * 64},
        {"secret": "x\x00" * 20},
        {"secret": GOOD * 33},
        {"jwks_url": "https://a.example/keys"},
        {"algorithm": "RS256"},
        {"algorithm": "RS256", "secret": GOOD, "jwks_url": "https://a.example/keys"},
        {"algorithm": "RS256", "jwks_url": "https://127.0.0.1/keys"},
        {"algorithm": "RS256", "jwks_url": "ftp://a.example/keys"},
    ],
    ids=str,
)
def test_terms_that_are_not_safe_are_refused(journal, terms):
    with pytest.raises(InvalidInput):
        make(journal, **terms)
    assert not TokenIssuer.objects.exists()


@pytest.mark.parametrize("name", ["", " a", "a\x00", "a\n", "x" * 256])
def test_names_that_no_token_has_are_refused(journal, name):
    with pytest.raises(InvalidInput):
        issuers.make_issuer(
            project=journal, issuer=name, audience="journal", actor="system", at=NOON
        )


def test_key_set_is_read_once_at_saving(journal, monkeypatch):
    answer = b'{"keys": []}'
    monkeypatch.setattr(sender, "fetch", lambda **_: answer)
    terms = {"algorithm": "RS256", "jwks_url": "https://a.example/keys"}
    with pytest.raises(InvalidInput, match="no usable RS256 key"):
        make(journal, **terms)

    import json

    answer = json.dumps({"keys": [public(RSA_KEY, kid="one"), {"kty": "oct"}]}).encode()
    assert make(journal, **terms).usable_keys == 1


def test_provider_that_does_not_answer_is_told_and_nothing_stored(journal, monkeypatch):
    def fetch(**_):
        raise Unavailable("https://a.example/keys cannot be read: no answer.")

    monkeypatch.setattr(sender, "fetch", fetch)
    with pytest.raises(InvalidInput, match="Nothing was stored"):
        make(journal, algorithm="ES256", jwks_url="https://a.example/keys")


def test_one_token_never_leads_to_two_projects(journal, orbit):
    make(journal)
    with pytest.raises(issuers.IssuerKnown):
        make(orbit)


def test_both_secrets_are_good_while_one_is_rolled_and_no_second_roll_forgets_one(journal):
    first = make(journal)
    roll = {"issuer": first.issuer, "actor": "staff:sam", "at": now()}
    second = issuers.roll_secret(**roll)
    assert [person(signed(one.secret)) for one in (first, second)] == ["ada", "ada"]
    with pytest.raises(issuers.StillRolling):
        issuers.roll_secret(**roll)

    third = issuers.roll_secret(**roll, overlap=timedelta(0))
    assert person(signed(third.secret)) == "ada"
    for leaked in (first, second):
        with pytest.raises(InvalidToken):
            person(signed(leaked.secret))


def test_everybody_and_one_person_are_signed_out(journal, alice):
    issuer, before = accept_tokens(journal), int(now().timestamp()) - 5
    said = {"actor": "staff:sam", "reason": "stolen laptop", "at": now()}
    issuers.sign_out(consumer=alice, **said)
    with pytest.raises(InvalidToken):
        person(token_for("alice", journal, iat=before))
    assert person(token_for("bob", journal, iat=before)) == "bob"

    issuers.sign_everybody_out(issuer=issuer, **said)
    with pytest.raises(InvalidToken):
        person(token_for("bob", journal, iat=before))


# --- The pages ---


@pytest.fixture
def operator(db):
    return client_of("Operator")


def act(client, path, **more):
    return client.post(f"{PAGE}/{path}/", {**SAID, **more})


def add(client, journal, **more):
    wish = {"project": journal.pk, **TERMS, "algorithm": "HS256", "roles_claim": "roles"}
    return act(client, "add_issuer", **{**wish, "admin_role": "admin", **more})


def test_operator_adds_an_issuer_and_sees_its_secret_once(operator, journal):
    answer = add(operator, journal)
    secret = re.search(r"select-all[^>]*>([\w-]+)<", answer.content.decode()).group(1)
    issuer = TokenIssuer.objects.get()
    assert person(signed(secret)) == "ada"
    assert "no-store" in answer.headers["Cache-Control"]
    for page in ("", f"{issuer.pk}/change/"):
        assert secret not in operator.get(f"{PAGE}/{page}").content.decode()


def test_refusal_is_shown_in_the_dialog_without_the_secret(operator, journal):
    answer = add(operator, journal, token_secret="shortsecret").content.decode()
    assert "at least 32 bytes" in answer
    assert "shortsecret" not in answer


def test_pasted_secret_works_and_is_not_shown(operator, journal):
    answer = add(operator, journal, token_secret=GOOD).content.decode()
    assert person(signed(GOOD)) == "ada"
    assert GOOD not in answer


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("switch_off", "issuer.switch_off"),
        ("sign_everybody_out", "issuer.sign_everybody_out"),
        ("roll", "issuer.roll_secret"),
    ],
)
def test_act_needs_a_reason_and_is_on_record(operator, journal, name, entry):
    issuer = accept_tokens(journal)
    path = f"{issuer.pk}/{name}"
    act(operator, path, deed_reason="", old_is_good_for="24")
    assert not AuditEntry.objects.filter(act=entry).exists()

    act(operator, path, old_is_good_for="24")
    found = AuditEntry.objects.get(act=entry)
    assert (found.actor, found.reason) == ("staff:operator", "asked for")


def test_off_and_on_again(operator, journal):
    issuer = accept_tokens(journal)
    act(operator, f"{issuer.pk}/switch_off")
    with pytest.raises(InvalidToken):
        person(token_for("ada", journal))
    act(operator, f"{issuer.pk}/switch_on")
    assert person(token_for("ada", journal)) == "ada"


def test_tried_token_is_told_and_kept_nowhere(operator, journal, alice, caplog):
    accept_tokens(journal)
    token = token_for("alice", journal, roles=["admin"])
    answer = act(operator, "try_token", token=token)
    text = answer.content.decode()
    assert "This token is good" in text
    assert f"/consumer/{alice.pk}/change/" in text
    assert "administrators" in text
    assert not any(part in text + caplog.text for part in token.split("."))
    assert "no-store" in answer.headers["Cache-Control"]
    assert not AuditEntry.objects.exists()


def test_tried_token_that_is_bad_says_what_is_wrong(operator, journal):
    accept_tokens(journal)
    answer = act(operator, "try_token", token=token_for("ada", journal, exp=1))
    assert "expired" in answer.content.decode()
    assert "not a JSON Web Token" in act(operator, "try_token", token="x").content.decode()


def test_support_looks_and_tries_and_changes_nothing(journal, alice):
    issuer, support = accept_tokens(journal), client_of("Support")
    assert support.get(f"{PAGE}/{issuer.pk}/change/").status_code == 200
    assert "al" in act(support, "try_token", token=token_for("alice", journal)).content.decode()
    for path in ("add_issuer", f"{issuer.pk}/roll", f"{issuer.pk}/switch_off"):
        assert act(support, path).status_code == 403


def test_support_signs_one_person_out(journal, alice):
    accept_tokens(journal)
    page = f"/admin/keystore/consumer/{alice.pk}/sign_out/"
    assert client_of("Support").post(page, SAID).status_code == 200
    with pytest.raises(InvalidToken, match="signed out"):
        person(token_for("alice", journal, iat=int(now().timestamp()) - 5))
    assert AuditEntry.objects.get(act="consumer.sign_out").consumer_id == alice.public_id


# --- The command ---


def run(*words):
    said = io.StringIO()
    call_command("issuers", *words, stdout=said)
    return said.getvalue()


ADD = ("add", "--project=journal", "--issuer=https://a.example", "--audience=journal")


def test_command_takes_the_secret_from_the_environment_and_does_not_say_it(journal, monkeypatch):
    monkeypatch.setenv("JWT_SECRET", GOOD)
    said = run(*ADD, "--secret-env", "JWT_SECRET")
    assert GOOD not in said
    assert person(signed(GOOD)) == "ada"
    assert "iss=https://a.example  aud=journal" in run("list")


def test_command_makes_a_secret_and_rolls_it(journal):
    first = re.search(r"once: (\S+)", run(*ADD)).group(1)
    row = TokenIssuer.objects.get()
    second = re.search(r"once: (\S+)", run("roll", row.public_id, "--overlap-hours=0")).group(1)
    assert person(signed(second)) == "ada"
    with pytest.raises(InvalidToken):
        person(signed(first))


@pytest.mark.parametrize(
    "words",
    [
        ("roll", "iss_none"),
        ("add", "--project=none", "--issuer=x", "--audience=y"),
        (*ADD, "--secret-env", "NOT_THERE"),
        (*ADD, "--algorithm=RS256"),
    ],
)
def test_command_says_what_is_wrong(journal, words):
    with pytest.raises(CommandError):
        run(*words)
