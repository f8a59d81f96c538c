"""The cast: who plays in the tests.

Models are imported inside the fixtures: pytest reads this file before the settings exist.
"""

from datetime import UTC, datetime

import pytest

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def journal(db):
    """The project that every test uses unless it needs two."""
    from keystore.models import Project

    return Project.objects.create(
        slug="journal", name="Journal", allowed_origins=["https://app.example.com"]
    )


@pytest.fixture
def orbit(db):
    """Another company's project: nothing of journal may be seen from it."""
    from keystore.models import Project

    return Project.objects.create(slug="orbit", name="Orbit")


@pytest.fixture
def backend(journal):
    """The program that calls us for journal."""
    return journal.apps.create(name="backend")


@pytest.fixture
def backend_key(journal, backend):
    """The plaintext of backend's key, which may do everything in journal."""
    from keystore.services import issue_key

    issued = issue_key(project=journal, owner=backend, scopes=("*",), actor="system", at=NOON)
    return issued.plaintext


@pytest.fixture
def alice(journal):
    """A consumer of journal."""
    return journal.consumers.create(external_id="alice", email="alice@example.com")


@pytest.fixture
def bob(journal):
    """Another consumer of journal."""
    return journal.consumers.create(external_id="bob", email="bob@example.com")


@pytest.fixture
def mallory(orbit):
    """A consumer of orbit."""
    return orbit.consumers.create(external_id="mallory", email="mallory@example.com")


@pytest.fixture
def api(backend_key):
    """A client that calls as journal's backend."""
    from rest_framework.test import APIClient

    client = APIClient()
    client.credentials(HTTP_X_API_KEY=backend_key)
    return client
