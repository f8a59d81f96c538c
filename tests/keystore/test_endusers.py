"""Tokens of end users: what is accepted, and everything that is not."""

import base64
import json
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.warnings import InsecureKeyLengthWarning

from config.clock import now
from config.errors import Unavailable
from keystore import keysets, sender
from keystore.endusers import read_token
from keystore.errors import InvalidToken
from keystore.keysets import KeySetUnavailable
from keystore.models import TokenIssuer
from keystore.seal import seal

SECRET = "s" * 32
ISSUER = "https://sign-in.example"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def issuer(journal):
    return TokenIssuer.objects.create(
        project=journal,
        issuer=ISSUER,
        audience="journal",
        algorithm="HS256",
        sealed_secret=seal(SECRET),
    )


def claims(**changes):
    at = int(now().timestamp())
    said = {"iss": ISSUER, "aud": "journal", "sub": "ada", "iat": at, "exp": at + 600, **changes}
    return {name: value for name, value in said.items() if value is not None}


def signed(secret=SECRET, algorithm="HS256", headers=None, **changes):
    return jwt.encode(claims(**changes), secret, algorithm=algorithm, headers=headers)


def read(token):
    return read_token(token=token, at=now())


def test_token_names_its_person_and_project(issuer, journal):
    person = read(signed(roles=["admin"], email="ada@a.example"))
    assert (person.project, person.external_id, person.consumer) == (journal, "ada", None)
    assert (person.email, person.is_admin) == ("ada@a.example", True)


def test_known_person_is_found_in_their_own_project_alone(issuer, journal, orbit):
    orbit.consumers.create(external_id="ada")
    assert read(signed()).consumer is None
    own = journal.consumers.create(external_id="ada")
    assert read(signed()).consumer == own


@pytest.mark.parametrize("roles", ["user", ["user"], {"admin": True}, [["admin"]], None, 1])
def test_other_roles_are_no_admins(issuer, roles):
    assert not read(signed(roles=roles)).is_admin


def test_roles_are_found_inside_an_object(issuer):
    TokenIssuer.objects.update(roles_claim="realm_access.roles")
    assert read(signed(realm_access={"roles": ["admin"]})).is_admin


def test_address_that_nobody_proved_is_not_taken(issuer):
    assert read(signed(email="ada@a.example", email_verified=False)).email == ""


def minutes(number):
    return int((now() + timedelta(minutes=number)).timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"aud": None},
        {"iss": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a" * 256},
        {"sub": "a\x00b"},
        {"sub": "con_" + "0" * 22},
        {"aud": "another"},
        {"aud": 7},
        {"aud": []},
        {"aud": [["journal"]]},
        {"aud": "journal\x00"},
        {"iss": "https://else.example"},
        {"exp": "soon"},
        {"exp": 1e400},
        {"exp": -1},
    ],
    ids=str,
)
def test_claims_that_are_not_right_are_refused(issuer, changes):
    with pytest.raises(InvalidToken):
        read(signed(**changes))


def test_times_that_are_not_right_are_refused(issuer):
    wrong = [
        {"exp": minutes(-2), "iat": minutes(-9)},
        {"iat": minutes(5)},
        {"nbf": minutes(5)},
        {"exp": minutes(60 * 24 * 32)},
        {"exp": minutes(10) * 1000},
    ]
    for changes in wrong:
        with pytest.raises(InvalidToken):
            read(signed(**changes))


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("name", ["none", "None", "nOnE", "NONE", "", None])
def test_unsigned_tokens_are_refused(issuer, name):
    with pytest.raises(InvalidToken):
        read(f"{part({'alg': name, 'typ': 'JWT'})}.{part(claims())}.")


def test_signature_cut_off_or_of_another_secret_is_refused(issuer):
    for token in [signed().rpartition(".")[0] + ".", signed("t" * 32), signed()[:-3]]:
        with pytest.raises(InvalidToken):
            read(token)


@pytest.mark.parametrize(
    "headers", [{"typ": "secevent+jwt"}, {"crit": ["x"], "x": 1}, {"alg": "HS512"}, {"typ": 5}]
)
def test_headers_of_other_things_are_refused(issuer, headers):
    token = f"{part({'alg': 'HS256', **headers})}.{signed().split('.', 1)[1]}"
    with pytest.raises(InvalidToken):
        read(token)


@pytest.mark.parametrize(
    "token",
    ["a.b.c", "..", "é.é.é", f"{part('x')}.{part(1)}.x", "W" * 9000 + ".b.c", f"{'W' * 8000}.b.c"],
)
def test_what_is_no_token_is_refused(issuer, token):
    with pytest.raises(InvalidToken):
        read(token)


def test_deeply_nested_token_is_refused(issuer):
    deep = base64.urlsafe_b64encode(b"[" * 5000).decode()
    with pytest.raises(InvalidToken):
        read(f"{part({'alg': 'HS256'})}.{deep}.x")


def test_old_secret_is_good_until_the_roll_is_over(issuer):
    issuer.sealed_previous_secret, issuer.sealed_secret = issuer.sealed_secret, seal("n" * 32)
    issuer.previous_until = now() + timedelta(minutes=5)
    issuer.save()
    assert read(signed()).external_id == "ada"

    TokenIssuer.objects.update(previous_until=now() - timedelta(seconds=1))
    with pytest.raises(InvalidToken):
        read(signed())


def test_disabled_issuer_and_signed_out_person_are_refused(issuer, journal):
    ada = journal.consumers.create(external_id="ada")
    token = signed(iat=minutes(-1))
    assert read(token)
    ada.tokens_since = now()
    ada.save()
    with pytest.raises(InvalidToken):
        read(token)

    TokenIssuer.objects.update(disabled_at=now())
    with pytest.raises(InvalidToken):
        read(signed(sub="bob"))


def test_audience_of_two_projects_is_refused(issuer, orbit):
    TokenIssuer.objects.create(
        project=orbit, issuer=ISSUER, audience="orbit", algorithm="HS256", sealed_secret=b""
    )
    with pytest.raises(InvalidToken):
        read(signed(aud=["journal", "orbit"]))


# --- Key sets ---


def public(key, **more):
    shown = jwt.get_algorithm_by_name("RS256" if key is RSA_KEY else "ES256")
    return {**shown.to_jwk(key.public_key(), as_dict=True), "use": "sig", **more}


class KeySet:
    """An identity provider's address: what it answers, and how often it was asked."""

    def __init__(self, *keys):
        self.keys, self.asked, self.is_down = list(keys), 0, False

    def fetch(self, *, url, seconds, most_bytes):
        self.asked += 1
        if self.is_down:
            raise Unavailable("down")
        return json.dumps({"keys": self.keys}).encode()


@pytest.fixture
def keyset(issuer, monkeypatch):
    """The network ends here: what is fetched from the provider's address."""
    found = KeySet(public(RSA_KEY, kid="one"))
    monkeypatch.setattr(sender, "fetch", found.fetch)
    TokenIssuer.objects.update(algorithm="RS256", jwks_url=f"{ISSUER}/keys", sealed_secret=b"")
    return found


def by_key(kid="one", key=RSA_KEY, algorithm="RS256", **changes):
    return signed(key, algorithm, {"kid": kid}, **changes)


def test_key_set_is_read_once_and_kept(keyset):
    assert [read(by_key(sub=name)).external_id for name in ("ada", "bob")] == ["ada", "bob"]
    assert keyset.asked == 1


def test_new_key_is_found_by_reading_again(keyset, time_machine):
    time_machine.move_to(now(), tick=False)
    read(by_key())
    keyset.keys.append(public(RSA_KEY, kid="two"))
    with pytest.raises(InvalidToken):  # asked a moment ago
        read(by_key("two"))

    time_machine.shift(30)
    assert read(by_key("two")).external_id == "ada"
    assert keyset.asked == 2


def test_withdrawn_key_is_refused_within_the_hour(keyset, time_machine):
    time_machine.move_to(now(), tick=False)
    read(by_key())
    keyset.keys = [public(RSA_KEY, kid="two")]
    time_machine.shift(3600)
    with pytest.raises(InvalidToken):
        read(by_key())


def test_provider_that_is_down_is_bridged_for_a_day(keyset, time_machine):
    time_machine.move_to(now(), tick=False)
    read(by_key())
    keyset.is_down = True
    time_machine.shift(24 * 3600 - 1)
    assert read(by_key())

    time_machine.shift(31)
    with pytest.raises(KeySetUnavailable):
        read(by_key())


def test_family_cannot_be_changed_by_the_token(keyset):
    keyset.keys.append(public(EC_KEY, kid="ec"))
    pem = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, body = part({"alg": "HS256", "kid": "one"}), part(claims())
    forged = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    mac = forged.sign(f"{head}.{body}".encode(), pem)
    swapped = f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    for token in [swapped, by_key("ec", EC_KEY, "ES256"), signed(), by_key("../../etc/passwd")]:
        with pytest.raises(InvalidToken):
            read(token)


def test_keys_that_are_too_weak_or_private_or_for_encryption_are_ignored(keyset):
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    shown = jwt.get_algorithm_by_name("RS256").to_jwk(weak.public_key(), as_dict=True)
    keyset.keys = [{**shown, "kid": "one"}, public(RSA_KEY, kid="two", use="enc"), "x", {"kty": 1}]
    with pytest.warns(InsecureKeyLengthWarning):
        tokens = [by_key("one", weak), by_key("two")]
    for token in tokens:
        with pytest.raises(InvalidToken):
            read(token)
    assert TokenIssuer.objects.get().jwks == {"keys": []}


def test_token_without_a_key_id_needs_a_single_key(keyset):
    anonymous = jwt.encode(claims(), RSA_KEY, algorithm="RS256")
    assert read(anonymous).external_id == "ada"
    keyset.keys.append(public(RSA_KEY, kid="two"))
    TokenIssuer.objects.update(jwks=None, jwks_asked_at=None)
    with pytest.raises(InvalidToken):
        read(anonymous)


def test_elliptic_keys_work_too(keyset):
    keyset.keys = [public(EC_KEY, kid="ec")]
    TokenIssuer.objects.update(algorithm="ES256")
    assert read(by_key("ec", EC_KEY, "ES256")).external_id == "ada"


def test_answer_that_is_no_key_set_changes_nothing(keyset, monkeypatch):
    read(by_key())
    TokenIssuer.objects.update(jwks_asked_at=None, jwks_read_at=now() - timedelta(hours=2))
    for answer in [b"<html>", b"[]", b'{"keys": 1}']:
        monkeypatch.setattr(sender, "fetch", lambda answer=answer, **_: answer)
        TokenIssuer.objects.update(jwks_asked_at=None)
        assert read(by_key())
    assert keysets.MOST_KEYS >= len(TokenIssuer.objects.get().jwks["keys"]) == 1
