"""Every endpoint and method for every kind of caller: tests/api_access.toml says who gets in to
what is alice's, and whatever is not in it fails here.

The requests name a consumer, keys and more of journal's, in the path, the query and the body.
Whoever does not get in changes no row; whoever is not of journal, or is another person of it,
never reads a word of hers.
"""

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import get_resolver

from config.clock import now
from tests.addresses import patterns
from tests.api_access_cast import CANARY, named_of
from tests.conftest import NOON
from tests.keystore.tokens_cast import accept_tokens, token_for
from tests.staff import client_of

TABLE = Path(__file__).parent / "api_access.toml"
CALLERS = {
    "N": "nobody",
    "A": "an app of journal",
    "R": "an app of journal with scopes to read alone",
    "B": "an app of another project",
    "X": "a key that was revoked",
    "K": "alice's own key",
    "U": "alice's token",
    "V": "bob's token, of the same project",
    "M": "the token of an administrator of journal",
    "W": "a token of another project",
    "S": "staff, logged in",
}
STRANGERS = "NBXVWS"  # to none of them may a word of alice's be shown
REFUSED = {401, 403, 404}
WITHOUT_STRIPE = "No call to Stripe inside a transaction."
SAME_FOR_ALL = ("GET api/schema",)  # takes a second to make, and knows no caller
METHODS = ("get", "post", "put", "patch", "delete")
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# What a refused request may write all the same: when a key was last used.
NOTED = ("keystore_apikey",)
# Asked twice for each of thousands of requests: the view of these counts looks at indexes as well.
WRITTEN = """
select coalesce(sum(
    pg_stat_get_xact_tuples_inserted(oid)
    + pg_stat_get_xact_tuples_updated(oid)
    + pg_stat_get_xact_tuples_deleted(oid)
), 0)
from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace and not relname = any(%s)
"""
HOW_TO = """
In tests/api_access.toml, say on purpose who gets in: {who}.
Now it is:
{now}
A write that looks for its rows after it has read its body needs that body under [bodies].
"""


def endpoints() -> dict[str, str]:
    """ "GET api/v1/keys" -> the pattern, for every method of every view of the API."""
    found = {}
    for address, one in patterns(get_resolver().url_patterns):
        view = getattr(one.callback, "cls", None) or getattr(one.callback, "view_class", None)
        if (
            view is None
            or address.startswith("admin/")
            or "authentication_classes" not in dir(view)
        ):
            continue
        shown = PARAMETER.sub(r"{\1}", address)
        for method in METHODS:
            if hasattr(view, method):
                found[f"{method.upper()} {shown}"] = address
    return found


@cache
def written() -> dict[str, dict[str, Any]]:
    return tomllib.loads(TABLE.read_text())


def table() -> dict[str, str]:
    return written()["who"]


class World:
    """Journal with alice, bob and everything that an address can name; orbit beside it."""

    def __init__(self, journal, orbit, backend, alice, bob, mallory, backend_key):
        from keystore.models import Consumer
        from keystore.permissions import SCOPES
        from keystore.services import issue_key, revoke_key

        self.journal, self.alice = journal, alice
        Consumer.objects.filter(pk=alice.pk).update(name=CANARY, email=f"{CANARY}@a.example")
        accept_tokens(journal)
        accept_tokens(orbit)
        made = {"actor": "system", "at": NOON}

        def app_key(project, scopes):
            app = project.apps.first() or project.apps.create(name="backend")
            return issue_key(project=project, owner=app, scopes=scopes, **made)

        revoked = app_key(journal, ["*"])
        revoke_key(key=revoked.key, actor="system", reason="x", at=NOON)
        self.own = issue_key(project=journal, owner=alice, name=CANARY, **made)
        keys = {
            "A": backend_key,
            "R": app_key(journal, [one for one in SCOPES if one.endswith(":read")]).plaintext,
            "B": app_key(orbit, ["*"]).plaintext,
            "X": revoked.plaintext,
            "K": self.own.plaintext,
        }
        tokens = {
            "U": token_for("alice", journal),
            "V": token_for("bob", journal),
            "M": token_for("boss", journal, roles=["admin"]),
            "W": token_for("mallory", orbit, roles=["admin"]),
        }
        headers = {letter: {"HTTP_X_API_KEY": key} for letter, key in keys.items()}
        for letter, token in tokens.items():
            headers[letter] = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        self.clients = {letter: Client(**headers.get(letter, {})) for letter in CALLERS}
        self.clients["S"] = client_of("superuser")
        self.named = named_of(journal, alice, self.own.key)
        event = {"id": "evt_canary", "meter": "labs", "user_id": "alice", "quantity": 1}
        self.clients["A"].post("/api/v1/usage/events", event, content_type="application/json")
        self.canaries = [CANARY, *(text for text in self.named.values() if "_" in text)]

    def path_of(self, pattern: str) -> str:
        missing = set(PARAMETER.findall(pattern)) - set(self.named)
        assert not missing, f"Name {missing} in tests/api_access_cast.py."
        return "/" + PARAMETER.sub(lambda found: self.named[found.group(1)], pattern)


@pytest.fixture
def world(journal, orbit, backend, alice, bob, mallory, backend_key):
    return World(journal, orbit, backend, alice, bob, mallory, backend_key)


def rows_written() -> int:
    """How many rows this transaction has written so far, also in what was rolled back."""
    with connection.cursor() as cursor:
        cursor.execute(WRITTEN, [list(NOTED)])
        return int(cursor.fetchone()[0])


def ask(world: World, letter: str, row: str, pattern: str, **more) -> tuple[int, str, int]:
    """Status, body and rows written; nothing of it stays."""
    method, _, _ = row.partition(" ")
    sent = {"user_id": "alice", **written()["bodies"].get(row, {})}
    text = json.dumps(sent)
    client = world.clients[letter]
    client.raise_request_exception = False
    path = world.path_of(pattern)
    before = rows_written()
    with transaction.atomic():
        if method in ("GET", "DELETE"):
            query = "&".join(f"{name}={value}" for name, value in {**sent, **more}.items())
            answer = getattr(client, method.lower())(f"{path}?{query}")
        else:
            answer = client.generic(method, path, text, content_type="application/json")
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        transaction.set_rollback(True)
    return answer.status_code, body.decode(errors="replace"), rows_written() - before


def where_it_ends(world: World, row: str, pattern: str, caplog) -> str:
    """A write of journal's app: "" when it succeeds, else the code of its refusal, or "Stripe":
    there is none here, and the matrix asks inside of a transaction, where it may not be called.
    """
    caplog.clear()
    status, body, _ = ask(world, "A", row, pattern)
    code = str(json.loads(body).get("code") or status) if status >= 400 else ""
    causes = [str(one.exc_info[1]) for one in caplog.records if one.exc_info]
    return "Stripe" if code == "stripe_unavailable" or WITHOUT_STRIPE in causes else code


def who_gets_in(world: World, row: str, pattern: str) -> str:
    return "".join(
        letter for letter in CALLERS if ask(world, letter, row, pattern)[0] not in REFUSED
    )


def test_every_endpoint_has_its_row(world):
    unwritten = {row: path for row, path in endpoints().items() if row not in table()}
    lines = [f'"{row}" = "{who_gets_in(world, row, path)}"' for row, path in unwritten.items()]
    who = ", ".join(f"{letter} {name}" for letter, name in CALLERS.items())

    assert not unwritten, HOW_TO.format(who=who, now="\n".join(lines))


def test_every_row_has_its_endpoint():
    assert set(table()) - set(endpoints()) == set()


@pytest.mark.parametrize("letter", CALLERS)
def test_caller_gets_in_where_the_table_says_and_reads_and_changes_nothing_else(world, letter):
    wrong = {}
    for row, pattern in endpoints().items():
        if row not in table() or (row in SAME_FOR_ALL and letter not in "NS"):
            continue
        status, body, written = ask(world, letter, row, pattern)
        is_in = status not in REFUSED
        if is_in != (letter in table()[row]):
            wrong[row] = f"gets in with {status}" if is_in else f"is refused with {status}: {body}"
        elif not is_in and written:
            wrong[row] = f"is refused with {status}, and {written} rows were written"
        elif letter in STRANGERS and (
            read := leaked(world, body, world.path_of(pattern), row, status)
        ):
            wrong[row] = f"reads {read}"

    assert wrong == {}, f"{CALLERS[letter]}: {wrong}"


def test_every_write_reaches_what_it_does(world, caplog):
    """None stops at its own shape: it succeeds, or the reason is one of those in the table."""
    ends = written()["ends"]
    found = {
        row: where_it_ends(world, row, pattern, caplog)
        for row, pattern in endpoints().items()
        if not row.startswith("GET ") and "A" in table().get(row, "")
    }

    assert {row: end for row, end in found.items() if end != ends.get(row, "")} == {}
    assert set(ends) - set(found) == set()


def leaked(world: World, body: str, path: str, row: str, status: int) -> list[str]:
    """What is alice's in an answer; a refusal may name what was asked for, and any answer what
    the asker's own body named.
    """
    asked = json.dumps(written()["bodies"].get(row, {})) + (path if status >= 300 else "")
    return [one for one in world.canaries if one in body and one not in asked]


def test_rows_that_were_rolled_back_count_as_written(alice):
    counts = [rows_written()]
    for write in (
        lambda: alice.project.consumers.create(external_id="carol"),
        lambda: alice.project.consumers.update(name="x"),
        lambda: alice.project.consumers.all().delete(),
    ):
        with transaction.atomic():
            write()
            transaction.set_rollback(True)
        counts.append(rows_written())

    assert counts == sorted(set(counts))


def test_token_is_asked_no_longer_than_it_is_good(world):
    late = Client(HTTP_AUTHORIZATION=f"Bearer {token_for('alice', world.journal, exp=1)}")
    rows = [(row, path) for row, path in endpoints().items() if "U" in table().get(row, "")]
    world.clients["U"] = late
    got_in = [row for row, path in rows if ask(world, "U", row, path)[0] != 401]
    open_to_all = {row for row, who in table().items() if "N" in who}

    assert now() > NOON
    assert set(got_in) - open_to_all == set()
