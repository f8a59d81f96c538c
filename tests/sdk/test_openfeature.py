"""OpenFeature's own SDK asks through our provider."""

import pytest
from latchkey_client import Latchkey
from latchkey_client.openfeature import LatchkeyProvider
from openfeature import api as openfeature
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import ErrorCode

ALICE = EvaluationContext(targeting_key="alice")


@pytest.fixture
def flags(live_server, app_key):
    with Latchkey(live_server.url, app_key) as client:
        openfeature.set_provider(LatchkeyProvider(client))
        yield openfeature.get_client()
        openfeature.clear_providers()


def test_flags_are_what_the_user_may_use(flags, alice, give):
    give(alice, "labs")
    give(alice, "tokens", limit=500)
    assert flags.get_boolean_value("labs", False, ALICE)
    assert not flags.get_boolean_value("pro", True, ALICE)
    assert flags.get_integer_value("tokens", 0, ALICE) == 500


def test_what_cannot_be_told_gives_the_default_and_says_why(flags, alice, give):
    give(alice, "tokens", limit=500)
    assert flags.get_string_details("tokens", "x", ALICE).error_code == ErrorCode.TYPE_MISMATCH
    missing = flags.get_integer_details("pro", 7, ALICE)
    assert (missing.value, missing.error_code) == (7, ErrorCode.FLAG_NOT_FOUND)
    nobody = flags.get_boolean_details("labs", True)
    assert (nobody.value, nobody.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)


def test_config_is_an_object(flags, journal, alice, give):
    journal.features.create(code="support", kind="config")
    give(alice, "support", config={"channel": "phone"})
    assert flags.get_object_value("support", {}, ALICE) == {"channel": "phone"}
