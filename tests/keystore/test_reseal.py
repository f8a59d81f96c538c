"""A new secret key, and what was sealed under the one before."""

import pytest
from django.core.management import CommandError, call_command

from keystore.models import HookEndpoint, StoredAnswer
from keystore.seal import seal, unseal
from tests.conftest import NOON

OLD, NEW = "old-secret-key-" * 4, "new-secret-key-" * 4


@pytest.fixture
def endpoint(journal, settings):
    """Its secret was sealed under OLD; NEW has come since."""
    settings.SECRET_KEY = OLD
    made = HookEndpoint.objects.create(
        project=journal, url="https://app.example.com/hooks", sealed_secret=seal("whsec_one")
    )
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    return made


def test_after_resealing_the_old_key_may_go(endpoint, settings, capsys):
    call_command("reseal")
    settings.SECRET_KEY_FALLBACKS = []

    endpoint.refresh_from_db()
    assert unseal(endpoint.sealed_secret) == "whsec_one"
    assert capsys.readouterr().out == "1 secrets sealed anew.\n"


def test_a_stored_answer_is_sealed_anew_as_the_text_it_is(backend, settings):
    settings.SECRET_KEY = OLD
    StoredAnswer.objects.create(
        app=backend,
        key="once",
        request_hash="0" * 64,
        locked_until=NOON,
        created_at=NOON,
        status=201,
        body=seal("issued").decode(),
    )
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]

    call_command("reseal")
    settings.SECRET_KEY_FALLBACKS = []

    assert unseal(StoredAnswer.objects.get().body.encode()) == "issued"


def test_a_second_time_nothing_is_sealed_anew(endpoint, capsys):
    call_command("reseal")
    capsys.readouterr()

    call_command("reseal")

    assert capsys.readouterr().out == "0 secrets sealed anew.\n"


def test_what_no_key_opens_is_named_and_left(endpoint, settings):
    settings.SECRET_KEY_FALLBACKS = []

    with pytest.raises(CommandError, match="make them anew: hook endpoint"):
        call_command("reseal")

    kept = bytes(HookEndpoint.objects.get().sealed_secret)
    assert kept == bytes(endpoint.sealed_secret)
