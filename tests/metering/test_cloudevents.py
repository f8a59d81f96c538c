"""The CloudEvents SDK for Python sends to us in each form of the standard."""

import pytest

PATH = "/api/v1/usage/events"


@pytest.fixture(autouse=True)
def tokens(journal, alice):
    return journal.meters.create(code="tokens")
