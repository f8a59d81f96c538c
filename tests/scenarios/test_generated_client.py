"""A client that openapi-python-client writes from the schema works as it is."""

import importlib
import subprocess
import sys

import pytest

from entitlements.models import Feature
from entitlements.services import give_grant
from tests.conftest import NOON

# Formatting what nobody reads takes most of the time.
CONFIG = """
post_hooks: []
content_type_overrides: {application/pdf: application/octet-stream}
"""


@pytest.fixture
def generated(tmp_path, client, monkeypatch):
    """The generated package, imported."""
    schema = client.get("/api/schema?format=json")
    (tmp_path / "schema.json").write_bytes(schema.content)
    (tmp_path / "config.yml").write_text(CONFIG)
    made = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate"),
            *("--path", "schema.json", "--config", "config.yml", "--meta", "none"),
            *("--output-path", "written_client", "--fail-on-warning"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("written_client")
    for name in [name for name in sys.modules if name.startswith("written_client")]:
        del sys.modules[name]


@pytest.mark.django_db(transaction=True)
def test_generated_client_reads_entitlements(generated, live_server, backend_key, alice, journal):
    feature = Feature.objects.create(project=journal, code="labs")
    give_grant(
        consumer=alice,
        feature=feature,
        valid_from=NOON,
        valid_to=None,
        reason="a test",
        granted_by="test",
        idempotency_key="one",
        actor="system",
        at=NOON,
    )
    ask = importlib.import_module("written_client.api.entitlements.entitlements_retrieve")
    client = generated.AuthenticatedClient(
        base_url=live_server.url, token=backend_key, raise_on_unexpected_status=True
    )
    with client:
        answer = ask.sync(client=client, user_id="alice")
    assert [one.feature_code for one in answer.entitlements] == ["labs"]
