"""Keys that were found in public are revoked; whoever reports them must have signed."""

import base64
import hashlib
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rest_framework.test import APIClient

from config.errors import Unavailable
from keystore import scanners
from keystore.leaks import mail_leaks, note_leak
from keystore.models import ApiKey, AuditEntry, HookEndpoint, KeyLeak, OutboxMessage
from keystore.scanners import PublicKeys, keys_in
from keystore.sender import fetch
from keystore.services import issue_key
from tests.conftest import NOON
from tests.keystore.receivers import receiving

PATH = "/api/v1/secret-scanning/revoke"
URL = "https://github.example/octo/repo/blob/1/config.py"


@pytest.fixture(scope="module")
def scanner():
    """The key pair of who may report."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(autouse=True)
def known(settings, scanner):
    settings.SECRET_SCANNING_PUBLIC_KEYS = pem(scanner)
    settings.ALERT_EMAILS = ["desk@example.com"]


@pytest.fixture
def issued(journal, alice):
    return issue_key(project=journal, owner=alice, actor="system", at=NOON)


def pem(private):
    public = private.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def find(token, url=URL):
    return {"token": token, "type": "latchkey", "url": url, "source": "content"}


def report(finds, by, body=None, **headers):
    sent = json.dumps(finds).encode()
    signature = base64.b64encode(by.sign(sent, ec.ECDSA(hashes.SHA256()))).decode()
    names = {"identifier": "1", "signature": signature, **headers}
    return APIClient().post(
        PATH,
        data=sent if body is None else body,
        content_type="application/json",
        headers={f"Github-Public-Key-{name.title()}": value for name, value in names.items()},
    )


def test_found_key_is_revoked_and_audited(issued, scanner):
    answer = report([find(issued.plaintext)], scanner)

    assert answer.status_code == 200
    token_hash = hashlib.sha256(issued.plaintext.encode()).hexdigest()
    assert answer.json() == [
        {"token_hash": token_hash, "token_type": "latchkey", "label": "true_positive"}
    ]
    assert ApiKey.objects.get(pk=issued.key.pk).revoked_at is not None
    assert AuditEntry.objects.get(act="key.revoke").reason == f"Found at {URL}"
    leak = KeyLeak.objects.get()
    assert (leak.url, leak.source, leak.revoked) == (URL, "content", True)


def test_key_of_an_app_is_revoked_too(backend_key, scanner):
    report([find(backend_key)], scanner)

    assert ApiKey.objects.get().revoked_at is not None


def test_what_is_no_key_is_a_false_positive_and_stores_nothing(issued, scanner):
    answer = report([find("lk_live_nonsense"), find("x" * 40), find(issued.plaintext)], scanner)

    labels = [one["label"] for one in answer.json()]
    assert labels == ["false_positive", "false_positive", "true_positive"]
    assert KeyLeak.objects.count() == 1


def test_project_is_told_by_its_hook(issued, journal, scanner):
    HookEndpoint.objects.create(project=journal, url="https://app.example.com/hooks")

    report([find(issued.plaintext)], scanner)

    assert OutboxMessage.objects.get().kind == "key.revoked"


def test_same_report_again_is_answered_the_same_and_told_once(issued, scanner, mailoutbox):
    answers = [report([find(issued.plaintext)], scanner).json() for _ in range(2)]

    assert answers[0] == answers[1]
    assert KeyLeak.objects.count() == 1
    assert AuditEntry.objects.filter(act="key.revoke").count() == 1


def test_staff_are_told_in_one_mail_that_names_no_key_in_full(issued, scanner, mailoutbox):
    report([find(issued.plaintext), find(issued.plaintext, "https://b.example")], scanner)
    at = KeyLeak.objects.latest("pk").found_at

    assert [mail_leaks(at=at), mail_leaks(at=at)] == [2, 0]
    assert mailoutbox[0].subject == "Latchkey: 2 leaked keys"
    assert URL in mailoutbox[0].body
    assert issued.plaintext not in mailoutbox[0].body
    assert mailoutbox[0].to == ["desk@example.com"]


def test_mail_that_cannot_be_sent_is_sent_later(issued, settings, mailoutbox):
    note_leak(key=issued.key, url=URL, source="", at=NOON)
    backend, settings.EMAIL_BACKEND = (
        settings.EMAIL_BACKEND,
        "django.core.mail.backends.smtp.EmailBackend",
    )
    settings.EMAIL_PORT = 9
    assert mail_leaks(at=NOON) == 0

    settings.EMAIL_BACKEND = backend

    assert mail_leaks(at=NOON + timedelta(minutes=1)) == 1


def test_other_body_than_the_signed_one_is_refused(issued, scanner, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer = report([], scanner, body=json.dumps([find(issued.plaintext)]).encode())

    assert (answer.status_code, answer.json()["code"]) == (401, "unverified_report")
    assert ApiKey.objects.get(pk=issued.key.pk).revoked_at is None


@pytest.mark.parametrize("signature", ["", "!!", "QUJD", "A" * 5000, "\xe9"])
def test_odd_signatures_are_refused(db, scanner, signature, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert report([], scanner, signature=signature).status_code == 401


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256R1()])
def test_report_by_somebody_else_is_refused(issued, curve):
    assert report([find(issued.plaintext)], ec.generate_private_key(curve)).status_code == 401


@pytest.mark.parametrize(
    "finds", [{}, [5], [{"token": "x"}], [{"token": "", "type": "t"}], [find("a" * 9)] * 2001]
)
def test_signed_nonsense_is_400(db, scanner, finds):
    assert report(finds, scanner).status_code == 400


def test_too_large_a_report_is_refused_before_anything_is_checked(db, scanner):
    assert report([], scanner, body=b"x" * 1_000_001).status_code == 413


def test_without_known_keys_there_is_no_such_address(db, settings, scanner):
    settings.SECRET_SCANNING_PUBLIC_KEYS = ""
    assert report([], scanner).status_code == 404


def published(*privates):
    listed = [
        {"key_identifier": str(number), "key": pem(private), "is_current": True}
        for number, private in enumerate(privates)
    ]
    return json.dumps({"public_keys": listed}).encode()


def test_published_list_is_kept_and_read_again_for_a_new_key(monkeypatch, scanner):
    now, lists, read = [0.0], [published(scanner), published(scanner, scanner)], []
    monkeypatch.setattr(scanners, "fetch", lambda **asked: read.append(asked) or lists[0])
    keys = PublicKeys("https://keys.example", lambda: now[0])

    assert keys.get("0") is not None
    assert keys.get("1") is None
    lists.pop(0)
    assert keys.get("1") is None  # not again within a minute
    now[0] = 61.0
    assert keys.get("1") is not None
    assert len(read) == 2


def test_keys_of_other_kinds_are_left_out(scanner):
    other = ec.generate_private_key(ec.SECP384R1())
    assert list(keys_in(published(other, scanner))) == ["1"]
    assert keys_in(b"<html>") == keys_in(b"[]") == {}


def test_published_list_is_read_over_http(settings, scanner, issued):
    settings.SECRET_SCANNING_PUBLIC_KEYS = ""
    settings.HOOKS_ALLOW_PRIVATE_ADDRESSES = True
    with receiving() as server:
        server.always(200, body=published(scanner))
        settings.SECRET_SCANNING_KEYS_URL = server.url

        answers = [report([find(issued.plaintext)], scanner, identifier=name) for name in "0019"]

    assert [answer.status_code for answer in answers] == [200, 200, 401, 401]
    assert len(server.heard) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/keys", "https://169.254.169.254/keys"])
def test_list_of_keys_is_not_read_from_inside(settings, scanner, issued, url):
    settings.SECRET_SCANNING_PUBLIC_KEYS = ""
    settings.SECRET_SCANNING_KEYS_URL = url

    assert report([find(issued.plaintext)], scanner).status_code == 503


def test_list_that_is_too_long_is_not_read(settings):
    settings.HOOKS_ALLOW_PRIVATE_ADDRESSES = True
    with receiving() as server:
        server.always(200, body=b"x" * 2000)
        with pytest.raises(Unavailable):
            fetch(url=server.url, most_bytes=1000)
