"""Keys of another system go on working, although only their SHA-256 is known."""

import hashlib
import json

import pytest
from django.core.management import CommandError, call_command

from keystore import imports
from keystore.models import ApiKey, AuditEntry, Consumer
from keystore.selectors import find_key
from keystore.services import revoke_key
from tests.conftest import NOON

PATH = "/api/v1/keys/import"
TOKEN = "acme_live_7Yx2Qm4Rt9Zk"


def sha256(token):
    return hashlib.sha256(token.encode()).hexdigest()


def line(token=TOKEN, user_id="alice", **more):
    return {"user_id": user_id, "sha256": sha256(token), **more}


def take_over(project, *lines, **more):
    return imports.import_keys(project=project, lines=lines, actor="system", at=NOON, **more)


def test_imported_key_is_found_by_its_text(journal, alice):
    (outcome,) = take_over(journal, line(prefix="acme_live_", last4="t9Zk", scopes=["read"]))

    found = find_key(TOKEN)
    assert outcome.status == "imported"
    assert found == outcome.key
    assert (found.consumer, found.prefix, found.last4) == (alice, "acme_live_", "t9Zk")
    assert AuditEntry.objects.get(act="key.import").object_id == found.public_id


def test_its_first_use_makes_it_one_of_ours(journal, alice, django_assert_num_queries):
    (outcome,) = take_over(journal, line())
    before = ApiKey.objects.get().digest

    find_key(TOKEN)

    after = ApiKey.objects.get()
    assert (outcome.key.has_foreign_digest, after.has_foreign_digest) == (True, False)
    assert after.digest not in (before, sha256(TOKEN))
    with django_assert_num_queries(1):
        assert find_key(TOKEN) == after


def test_the_digest_that_was_sent_is_not_stored(journal, alice):
    take_over(journal, line())
    assert sha256(TOKEN) not in (ApiKey.objects.get().digest, ApiKey.objects.get().imported_as)


def test_the_digest_itself_opens_nothing(journal, alice):
    take_over(journal, line())
    assert find_key(sha256(TOKEN)) is None


def test_it_outlives_a_change_of_the_pepper_before_its_first_use(journal, alice, settings):
    take_over(journal, line())
    settings.KEY_PEPPER_PREVIOUS, settings.KEY_PEPPER = settings.KEY_PEPPER, "n" * 40

    assert find_key(TOKEN) is not None
    assert [one.status for one in take_over(journal, line())] == ["known"]


@pytest.mark.parametrize("used", [False, True])
def test_the_same_list_again_changes_nothing(journal, alice, used):
    take_over(journal, line())
    if used:
        find_key(TOKEN)

    assert [one.status for one in take_over(journal, line())] == ["known"]
    assert ApiKey.objects.count() == 1


def test_a_revoked_key_does_not_come_back(journal, alice):
    take_over(journal, line())
    find_key(TOKEN)
    revoke_key(key=ApiKey.objects.get(), actor="staff:sam", reason="", at=NOON)

    take_over(journal, line())

    assert find_key(TOKEN).revoked_at == NOON


def test_preview_writes_nothing_and_says_the_same(journal, alice):
    wishes = [line(), line("other_key_123", "carol"), line("x", sha256="short")]
    preview = take_over(journal, *wishes, only_preview=True)
    assert (ApiKey.objects.count(), Consumer.objects.count()) == (0, 1)

    done = take_over(journal, *wishes)

    assert [one.status for one in preview] == [one.status for one in done]
    assert [one.status for one in done] == ["imported", "imported", "refused"]


@pytest.mark.parametrize("user_id", ["bob", "mallory"])
def test_key_of_somebody_else_is_refused(journal, orbit, alice, bob, mallory, user_id):
    take_over(journal, line())
    project = orbit if user_id == "mallory" else journal

    (outcome,) = take_over(project, line(user_id=user_id))

    assert (outcome.status, outcome.key) == ("refused", None)
    assert ApiKey.objects.get().consumer == alice


@pytest.mark.parametrize(
    "bad",
    [
        5,
        {},
        {"user_id": "a"},
        line(sha256="z" * 64),
        line(user_id=""),
        line(user_id="\x00"),
        line(user_id={"a": 1}),
        line(environment="prod"),
        line(scopes="re\u00e4d"),
        line(scopes=[1]),
        line(limit_per_minute="many"),
        line(limit_per_minute=True),
        line(limit_per_minute=10**12),
        line(allowed_cidrs="here"),
        line(expires_at="soon"),
        line(expires_at="2020-01-01T00:00:00Z"),
        line(expires_at="9999-99-99T00:00:00Z"),
        line(secret="x"),
        line(prefix="a b"),
    ],
)
def test_bad_line_is_refused_and_the_rest_is_taken(journal, alice, bad):
    found = take_over(journal, bad, line("another_key_9"))

    assert [one.status for one in found] == ["refused", "imported"]
    assert found[0].detail


def test_command_reads_csv_and_says_how_many_of_how_many(journal, alice, tmp_path, capsys):
    file = tmp_path / "keys.csv"
    file.write_text(
        "user_id;sha256;scopes;limit_per_minute\n"
        f"alice;{sha256(TOKEN)};read write;60\n"
        f"carol;{sha256('b')};;\n"
    )

    call_command("keys", "import", str(file), project="journal", dry_run=True)
    call_command("keys", "import", str(file), project="journal")

    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2 of 2 would be imported, 0 known before, 0 refused.")
    assert said[1].startswith("2 of 2 imported")
    key = find_key(TOKEN)
    assert (key.scopes, key.own_limit_per_minute) == (["read", "write"], 60)


def test_command_ends_with_1_when_a_line_was_refused(journal, alice, tmp_path, capsys):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [line(), line(sha256="no")]}))

    with pytest.raises(SystemExit):
        call_command("keys", "import", str(file), project="journal")

    assert capsys.readouterr().out.startswith("2: sha256 must be")


@pytest.mark.parametrize("text", ["", "a,b\n1,2", "{", '{"keys": 5}', "[" * 100_000, "\udcff"])
def test_unreadable_file_is_told_as_such(journal, tmp_path, text):
    file = tmp_path / "keys"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CommandError):
        call_command("keys", "import", str(file), project="journal")


def test_app_imports_over_http(api, journal, alice):
    answer = api.post(PATH, {"keys": [line(), line(sha256="no")]}, format="json")

    body = answer.json()
    assert answer.status_code == 200
    assert (body["imported"], body["refused"], body["of"]) == (1, 1, 2)
    assert body["keys"][0]["key_id"] == ApiKey.objects.get(consumer=alice).public_id


@pytest.mark.parametrize("body", [{}, {"keys": []}, {"keys": [5]}, {"keys": [{}] * 1001}])
def test_bad_import_request_is_400(api, body):
    assert api.post(PATH, body, format="json").status_code == 400
