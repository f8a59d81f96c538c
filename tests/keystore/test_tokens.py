import pytest

from keystore import tokens
from keystore.models import ApiKey
from keystore.selectors import find_key
from keystore.services import import_key, issue_key
from tests.conftest import NOON


def flipped(token, position):
    other = "x" if token[position] != "x" else "y"
    return token[:position] + other + token[position + 1 :]


@pytest.mark.parametrize("environment", ["live", "test"])
def test_new_token_names_its_environment_and_carries_a_checksum(environment):
    token = tokens.new_token(environment)

    assert token.startswith(f"lk_{environment}_")
    assert len(token) == len(f"lk_{environment}_") + 36
    assert tokens.is_plausible(token)


def test_any_changed_character_breaks_the_checksum():
    token = tokens.new_token("live")

    accepted = [p for p in range(3, len(token)) if tokens.is_plausible(flipped(token, p))]

    assert accepted == []


def test_wrong_checksum_costs_no_query(django_assert_num_queries, db):
    token = flipped(tokens.new_token("live"), -1)

    with django_assert_num_queries(0):
        assert find_key(token) is None


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 201, "with space", "tab\tinside", "schlüssel"]
)
def test_text_that_cannot_be_a_key_costs_no_query(token, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        assert find_key(token) is None


def test_key_of_another_form_can_be_imported_and_found(journal, backend):
    key = import_key(
        project=journal,
        owner=backend,
        plaintext="sk_demo_space_journal",
        actor="system",
        at=NOON,
    )

    assert find_key("sk_demo_space_journal") == key
    assert find_key("sk_demo_space_journaL") is None


def test_only_the_start_and_the_end_of_a_key_are_kept(journal, backend):
    issued = issue_key(project=journal, owner=backend, actor="system", at=NOON)

    assert (issued.key.prefix, issued.key.last4) == (issued.plaintext[:11], issued.plaintext[-4:])
    assert issued.key.digest == tokens.digest(issued.plaintext)


@pytest.mark.parametrize(
    ("token", "shown"), [("a" * 8, ("aa", "")), ("b" * 40, ("b" * 10, "bbbb"))]
)
def test_of_short_keys_less_is_shown(token, shown):
    assert tokens.visible_parts(token) == shown


def test_key_of_the_previous_pepper_verifies_and_is_renewed(journal, backend, settings):
    settings.KEY_PEPPER = "old" * 12
    issued = issue_key(project=journal, owner=backend, actor="system", at=NOON)
    settings.KEY_PEPPER, settings.KEY_PEPPER_PREVIOUS = "new" * 12, "old" * 12

    assert find_key(issued.plaintext) == issued.key

    settings.KEY_PEPPER_PREVIOUS = ""
    assert find_key(issued.plaintext) == issued.key
    assert ApiKey.objects.get().digest == tokens.digest(issued.plaintext)


def test_without_the_previous_pepper_old_keys_are_unknown(journal, backend, settings):
    settings.KEY_PEPPER = "old" * 12
    issued = issue_key(project=journal, owner=backend, actor="system", at=NOON)
    settings.KEY_PEPPER = "new" * 12

    assert find_key(issued.plaintext) is None
