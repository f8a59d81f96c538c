import pytest
from rest_framework.test import APIClient

from keystore.models import ApiKey
from keystore.services import issue_key, revoke_key
from metering.decide import Code
from tests.conftest import NOON
from tests.together import at_once

VERIFY = "/api/v1/keys/verify"


@pytest.fixture
def alices(journal, alice):
    """A key of alice."""
    return issue_key(
        project=journal,
        owner=alice,
        scopes=["read"],
        own_limit_per_minute=600,
        actor="system",
        at=NOON,
    )


@pytest.fixture
def gateway(alices):
    """A client that sends alice's key."""
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=alices.plaintext)
    return client


def verify(api, **body):
    return api.post(VERIFY, body, format="json")


@pytest.mark.parametrize("path", ["/whoami", "/api/v1/whoami"])
def test_whoami_answers_the_key_that_is_sent(gateway, path, alices):
    answer = gateway.get(path)

    assert answer.status_code == 200
    assert answer.json()["valid"] is True
    assert answer.json()["consumer"]["email"] == "a***@example.com"
    assert answer.json()["entitlements"] == []
    assert answer.json()["key"]["id"] == answer["X-Key-Id"] == alices.key.public_id
    assert alices.plaintext not in answer.content.decode()


def test_whoami_knows_an_apps_key_and_the_bearer_form(db, backend_key):
    answer = APIClient().get("/whoami", HTTP_AUTHORIZATION=f"Bearer {backend_key}")

    assert answer.json()["app"]["name"] == "backend"
    assert answer.json()["consumer"] is None


@pytest.mark.parametrize("path", ["/whoami", VERIFY])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"HTTP_X_API_KEY": "unknown-key"},
        {"HTTP_X_API_KEY": "\xff\xfe" * 50},
        {"HTTP_X_API_KEY": "x" * 20_000},
        {"HTTP_AUTHORIZATION": "Bearer"},
        {"HTTP_X_FORWARDED_FOR": "garbage, ,,", "HTTP_X_API_KEY": "lk_live_x"},
    ],
)
def test_whatever_is_sent_instead_of_a_key_is_401(db, path, headers, settings):
    settings.TRUSTED_PROXY_COUNT = 1

    answer = APIClient().get(path, **headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "NOT_FOUND")
    assert answer["X-Latchkey-Code"] == "NOT_FOUND"
    assert answer["X-Consumer"] == ""


def test_key_in_the_query_string_is_not_looked_at(db, alices):
    assert APIClient().get(f"{VERIFY}?key={alices.plaintext}").status_code == 401


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 200, "VALID"),
        ("?scopes=read", 200, "VALID"),
        ("?scopes=read,write", 403, "INSUFFICIENT_SCOPE"),
        ("?scopes=read+write", 403, "INSUFFICIENT_SCOPE"),
        ("?feature=export", 403, "FEATURE_NOT_ENTITLED"),
    ],
)
def test_gateway_reads_the_decision_from_the_status(gateway, query, status, code):
    answer = gateway.get(VERIFY + query)

    assert (answer.status_code, answer["X-Latchkey-Code"]) == (status, code)
    assert answer["X-Consumer"] == "alice"


@pytest.mark.parametrize("path", ["/whoami", VERIFY])
def test_gateway_that_names_its_project_lets_no_other_in(gateway, orbit, path):
    assert gateway.get(f"{path}?project=journal").status_code == 200
    refused = gateway.get(f"{path}?project=orbit")

    assert (refused.status_code, refused["X-Latchkey-Code"]) == (401, "NOT_FOUND")
    assert "alice" not in refused.content.decode()


def test_gateway_is_told_429_with_retry_after(gateway, alices):
    ApiKey.objects.filter(pk=alices.key.pk).update(own_limit_per_minute=1, own_burst=1)

    assert [gateway.get(VERIFY).status_code for _ in range(2)] == [200, 429]
    assert 1 <= int(gateway.get(VERIFY)["Retry-After"]) <= 60


def test_address_is_read_behind_the_trusted_proxies(gateway, alices, settings):
    settings.TRUSTED_PROXY_COUNT = 1
    ApiKey.objects.filter(pk=alices.key.pk).update(allowed_cidrs=["203.0.113.0/24"])

    assert gateway.get(VERIFY, HTTP_X_FORWARDED_FOR="6.6.6.6, 203.0.113.9").status_code == 200
    assert gateway.get(VERIFY, HTTP_X_FORWARDED_FOR="203.0.113.9, 6.6.6.6").status_code == 403


def test_app_is_always_answered_200(api, alices):
    good = verify(api, key=alices.plaintext, scopes=["read"], ip="10.0.0.1")
    bad = verify(api, key="lk_live_nonsense")

    assert (good.status_code, good.json()["valid"], good.json()["code"]) == (200, True, "VALID")
    assert (bad.status_code, bad.json()["valid"], bad.json()["code"]) == (200, False, "NOT_FOUND")


def test_app_does_not_learn_of_other_projects_keys(api, orbit, mallory):
    issued = issue_key(project=orbit, owner=mallory, actor="system", at=NOON)
    answer = verify(api, key=issued.plaintext)

    assert answer.json()["code"] == "NOT_FOUND"
    assert "mallory" not in answer.content.decode()


def test_verifying_for_others_needs_an_app_with_the_scope(alices, gateway, journal, backend):
    assert verify(APIClient(), key=alices.plaintext).status_code == 401
    assert verify(gateway, key=alices.plaintext).json()["code"] == "consumer_key"
    weak = issue_key(project=journal, owner=backend, scopes=["keys:write"], actor="x", at=NOON)
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=weak.plaintext)
    assert verify(client, key=alices.plaintext).json()["code"] == "insufficient_scope"


@pytest.mark.parametrize(
    "body", [{}, {"key": ""}, {"key": 5, "ip": "here"}, {"key": "x", "scopes": "read"}]
)
def test_bad_question_is_400(api, body):
    assert verify(api, **body).status_code == 400


def test_without_redis_the_gateway_is_answered(gateway, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    assert gateway.get(VERIFY).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_no_request_that_starts_after_a_revocation_is_accepted(alices):
    def call():
        client = APIClient()
        return client.get("/whoami", HTTP_X_API_KEY=alices.plaintext)["X-Latchkey-Code"]

    assert set(at_once(call)) == {Code.VALID}
    revoke_key(key=alices.key, actor="staff:sam", reason="leaked", at=NOON)

    for _ in range(5):
        assert set(at_once(call)) == {Code.REVOKED}


def test_openapi_describes_keys_and_decisions(client, db):
    from drf_spectacular.generators import SchemaGenerator

    schema = SchemaGenerator().get_schema(request=None, public=True)

    assert set(schema["paths"][VERIFY]) == {"get", "post"}
    assert schema["paths"][VERIFY]["post"]["security"] == [{"appKey": []}, {"appKeyBearer": []}]
    asked_about = [{"consumerKey": []}, {"consumerKeyBearer": []}]
    assert schema["paths"][VERIFY]["get"]["security"] == asked_about
    assert set(schema["components"]["securitySchemes"]) >= {"appKey", "appKeyBearer"}
    assert "201" in schema["paths"]["/api/v1/keys"]["post"]["responses"]
