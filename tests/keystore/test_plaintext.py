"""The text of a key is nowhere in the database, whatever was done with the key."""

import pytest
from django.apps import apps
from django.db import connection

from keystore.handover import claim_key
from keystore.seal import unseal
from tests.conftest import NOON
from tests.keystore.test_services import provision


def everything_in_the_database():
    """Every row of every table as text; bytes in hex, as PostgreSQL shows them."""
    tables = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)})
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f'SELECT whole::text FROM "{table}" AS whole')
            yield from (row[0] for row in cursor.fetchall())


def traces_of(secret):
    forms = (secret, secret.encode().hex())
    return [row for row in everything_in_the_database() if any(form in row for form in forms)]


def test_search_finds_what_is_there(alice):
    assert len(traces_of(alice.public_id)) == 1


@pytest.mark.parametrize("is_claimed", [False, True])
def test_provisioned_key_leaves_no_trace(alice, is_claimed):
    key = provision(alice)
    plaintext = claim_key(key=key, at=NOON) if is_claimed else unseal(key.claim.sealed)

    assert plaintext.startswith(key.prefix)
    assert traces_of(plaintext) == []


def test_issued_key_leaves_no_trace_even_in_the_stored_answer(api, alice):
    answer = api.post(
        "/api/v1/keys", {"user_id": "alice"}, format="json", HTTP_IDEMPOTENCY_KEY="issue-1"
    )

    assert answer.status_code == 201
    assert traces_of(answer.json()["key"]) == []
