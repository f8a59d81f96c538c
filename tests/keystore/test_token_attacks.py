"""What an attacker sends: tokens that are signed and hostile inside, and hostile key sets."""

import json
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from config.clock import now
from config.logging import scrub
from keystore import sender
from keystore.endusers import looks_like_token, read_token
from keystore.errors import InvalidToken
from keystore.keysets import KeySetUnavailable
from keystore.models import Consumer, TokenIssuer
from tests.keystore.test_endusers import RSA_KEY, by_key, claims, issuer, keyset, public, signed
from tests.keystore.tokens_cast import user_client

__all__ = ["issuer", "keyset"]


def read(token):
    return read_token(token=token, at=now())


@pytest.mark.parametrize(
    "headers", [{"typ": "secevent+jwt"}, {"crit": ["x"], "x": 1}, {"typ": 5}, {"crit": []}], ids=str
)
def test_header_of_other_things_is_refused_though_it_is_signed(issuer, headers):
    with pytest.raises(InvalidToken):
        read(signed(headers=headers))


@pytest.mark.parametrize("headers", [{"jku": "https://e.example"}, {"jwk": {}}, {"x5u": "x"}])
def test_key_that_the_token_brings_along_is_not_looked_at(issuer, headers):
    assert read(signed(headers=headers)).external_id == "ada"
    with pytest.raises(InvalidToken):
        read(signed("t" * 32, headers=headers))


@pytest.mark.parametrize("changes", [{"iss": "\ud800"}, {"aud": "\ud800"}, {"aud": ["\udfff"]}])
def test_half_a_character_in_issuer_or_audience_is_refused(issuer, changes):
    with pytest.raises(InvalidToken):
        read(signed(**changes))


@pytest.mark.parametrize(
    "address", ["a\x00@b.example", "x" * 250 + "@b.example", "no address", "a@b\ud800.example", " "]
)
def test_address_that_is_none_is_left_out(issuer, journal, address):
    assert read(signed(email=address)).email == ""
    answer = user_client("ada", journal, email=address).post(
        "/api/v1/consumers/register", {}, format="json"
    )
    assert (answer.status_code, Consumer.objects.get().email) == (200, "")


def test_secret_that_cannot_be_unsealed_is_our_fault_and_no_crash(issuer):
    TokenIssuer.objects.update(sealed_secret=b"sealed under another key")
    with pytest.raises(KeySetUnavailable):
        read(signed())


def test_secret_before_the_roll_that_cannot_be_unsealed_leaves_the_new_one_good(issuer):
    TokenIssuer.objects.update(
        sealed_previous_secret=b"lost", previous_until=now() + timedelta(hours=1)
    )
    assert read(signed()).external_id == "ada"


def test_everybody_of_an_issuer_is_signed_out_at_once(issuer):
    token = signed(iat=int(now().timestamp()) - 60)
    assert read(token)
    TokenIssuer.objects.update(tokens_since=now())
    with pytest.raises(InvalidToken):
        read(token)


@pytest.mark.parametrize("text", ["sk_old.key.three", "a.b.c", "..", "1.2.3.4", "eyJ.e"])
def test_imported_key_with_dots_is_a_key(text):
    assert not looks_like_token(text)


# --- Key sets ---


def served(monkeypatch, answer):
    monkeypatch.setattr(sender, "fetch", lambda **_: answer)


@pytest.mark.parametrize(
    "change",
    [
        {"kid": "a\x00"},
        {"kid": "é" * 300},
        {"kid": 7},
        {"n": "_" * 60_000},
        {"n": "_" * 2000},
        {"e": "_" * 12},
        {"n": 5},
        {"n": None},
        {"n": ["AQAB"]},
        {"n": "é"},
        {"e": "AQAA"},
        {"e": "A" * 300 + "B"},
        {"e": {}},
        {"use": ["sig"]},
        {"alg": "HS256"},
        {"key_ops": ["encrypt"]},
        {"key_ops": {"verify": 1}},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"d": "AQAB"},
        {"p": "AQAB"},
    ],
    ids=lambda change: "-".join(change) + str(change)[:20],
)
def test_hostile_key_is_ignored_and_its_neighbour_kept(keyset, change):
    keyset.keys = [{**public(RSA_KEY, kid="bad"), **change}, public(RSA_KEY, kid="one")]
    assert read(by_key()).external_id == "ada"
    assert [key["kid"] for key in TokenIssuer.objects.get().jwks["keys"]] == ["one"]


def test_only_what_a_public_key_needs_is_kept(keyset):
    keyset.keys = [public(RSA_KEY, kid="one", x5c=["A" * 5000], deep=[[[[{}]]]])]
    read(by_key())
    assert set(TokenIssuer.objects.get().jwks["keys"][0]) == {"kty", "kid", "n", "e"}


def test_two_keys_under_one_name_are_both_refused(keyset):
    keyset.keys = [public(RSA_KEY, kid="one"), public(RSA_KEY, kid="one")]
    with pytest.raises(InvalidToken):
        read(by_key())


def test_key_on_another_curve_is_ignored(keyset):
    other = ec.generate_private_key(ec.SECP384R1())
    shown = jwt.get_algorithm_by_name("ES384").to_jwk(other.public_key(), as_dict=True)
    keyset.keys = [{**shown, "kid": "one"}]
    TokenIssuer.objects.update(algorithm="ES256")
    with pytest.raises(InvalidToken):
        read(signed(other, "ES384", {"kid": "one"}))
    assert TokenIssuer.objects.get().jwks == {"keys": []}


@pytest.mark.parametrize(
    "answer",
    [
        b"[" * 60_000,
        b'{"keys":' * 9000,
        b'{"keys": [1e999]}',
        b'{"keys": [{"kty": "\\ud800"}]}',
        b"",
    ],
    ids=["lists", "objects", "huge number", "half a character", "nothing"],
)
def test_hostile_answer_leaves_the_last_good_keys(keyset, monkeypatch, answer):
    read(by_key())
    TokenIssuer.objects.update(jwks_asked_at=None, jwks_read_at=now() - timedelta(hours=2))
    served(monkeypatch, answer)
    assert read(by_key()).external_id == "ada"


def test_empty_key_set_does_not_wipe_the_last_good_one(keyset, monkeypatch):
    """A provider that answers with an empty list for a moment must not lock everybody out."""
    read(by_key())
    TokenIssuer.objects.update(jwks_asked_at=None, jwks_read_at=now() - timedelta(hours=2))
    served(monkeypatch, json.dumps({"keys": []}).encode())
    assert read(by_key()).external_id == "ada"


def test_fifty_unknown_names_ask_the_provider_once(keyset):
    read(by_key())
    TokenIssuer.objects.update(jwks_asked_at=None)
    for number in range(50):
        with pytest.raises(InvalidToken):
            read(by_key(f"made-up-{number}"))
    assert keyset.asked == 2


def test_weak_key_set_url_is_never_read(keyset, monkeypatch):
    """The address is checked again at each reading, whatever the table says."""
    monkeypatch.undo()
    TokenIssuer.objects.update(jwks_url="http://169.254.169.254/latest")
    with pytest.raises(KeySetUnavailable):
        read(by_key())


# --- What is written down ---

HEADS = [{"alg": "HS256"}, {"typ": "JWT", "alg": "HS256"}]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_tokens_and_their_beginnings_are_scrubbed(indent, cut):
    from tests.keystore.test_endusers import part

    for head in HEADS:
        first = part(head)
        if indent:
            import base64

            first = (
                base64.urlsafe_b64encode(json.dumps(head, indent=1).encode()).decode().rstrip("=")
            )
        whole = [first, part(claims(email="ada@a.example")), "c2lnbmF0dXJl"]
        said = ".".join(whole[:cut])
        for around in ("{}", "token={}", "_{}", "?t={}&x", '"{}"'):
            assert not any(one in scrub(around.format(said)) for one in whole[1:cut] or whole[:1])
