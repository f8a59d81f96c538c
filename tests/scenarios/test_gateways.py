"""nginx and Caddy with the shipped files: nobody reaches the API whom Latchkey refused."""

import hashlib
import json
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import template
from tests.conftest import NOON
from tests.faults.http import call
from tests.gateways import Gateways, is_installed
from tests.servers import restore

pytestmark = [pytest.mark.slow]
FORGED = {
    "X_Consumer": "root",
    "X_Consumer_Id": "con_root",
    "X_Plan": "enterprise",
    "X_Key_Id": "key_root",
    "X_Latchkey_Code": "VALID",
    "X_Key_Environment": "live",
}


@pytest.fixture(scope="module")
def keys(django_db_setup, django_db_blocker):
    """Keys of one consumer, each refused or let through for a reason of its own."""
    from django.db import connection

    from keystore.models import Project
    from keystore.services import issue_key, revoke_key

    with django_db_blocker.unblock():
        journal = Project.objects.create(slug="journal", name="Journal")
        orbit = Project.objects.create(slug="orbit", name="Orbit")
        alice = journal.consumers.create(external_id="alice")
        terms = {"project": journal, "owner": alice, "actor": "system", "at": NOON}
        issued = {
            "good": issue_key(**terms, metadata={"plan": "pro"}),
            "revoked": issue_key(**terms),
            "elsewhere": issue_key(**terms, allowed_cidrs=["203.0.113.0/24"]),
            "limited": issue_key(**terms, own_limit_per_minute=1),
            "foreign": issue_key(
                **{**terms, "project": orbit, "owner": orbit.consumers.create(external_id="m")}
            ),
        }
        revoke_key(key=issued["revoked"].key, actor="system", reason="", at=NOON)
        connection.close()
        yield SimpleNamespace(**{name: one.plaintext for name, one in issued.items()})
        restore()


@pytest.fixture(scope="module")
def gateways(keys):
    base = Path(tempfile.mkdtemp(prefix="latchkey-gateways-"))
    running = Gateways(base)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        template.remove(base)


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def gateway(request):
    if not is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture(scope="module")
def url(gateway, gateways):
    """Where the API is reached through each gateway."""
    return getattr(gateways, f"start_{gateway}")()


def raw_answer(url, headers):
    """An answer with every header, to a request with just these."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", "/", headers={**headers, "Connection": "close"})
    return connection.getresponse()


def test_valid_key_reaches_the_api_which_is_told_who_it_is(url, keys):
    answer = call("GET", f"{url}/things", X_API_Key=keys.good)

    heard = answer.json["headers"]
    assert answer.status == 200
    assert (heard["x-consumer"], heard["x-plan"]) == ("alice", "pro")
    assert heard["x-consumer-id"].startswith("con_")
    assert heard["x-key-environment"] == "live"


@pytest.mark.parametrize("header", ["X_API_Key", "Authorization"])
def test_the_key_is_not_passed_on(url, keys, header):
    sent = keys.good if header == "X_API_Key" else f"Bearer {keys.good}"

    answer = call("GET", url, **{header: sent})

    assert answer.status == 200
    assert keys.good not in answer.text


def test_what_a_caller_forges_is_overwritten(url, keys):
    heard = call("GET", url, X_API_Key=keys.good, **FORGED).json["headers"]

    assert heard["x-consumer"] == "alice"
    assert not {"root", "con_root", "key_root", "enterprise"} & set(heard.values())


@pytest.mark.parametrize("name", ["X_Consumer", "X_Consumer_Id", "X-Consumer_Id"])
def test_forged_names_with_underscores_do_not_arrive(url, keys, name):
    answer = raw_answer(url, {"X-API-Key": keys.good, name: "root"})

    assert "root" not in answer.read().decode()


@pytest.mark.parametrize("name", ["", "lk_live_nonsense", "revoked", "foreign"])
def test_no_key_or_no_good_one_is_401_with_a_challenge(url, keys, name):
    answer = call("GET", url, X_API_Key=getattr(keys, name, name), **FORGED)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="latchkey"'
    assert "path" not in answer.json


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X_Forwarded_For", "X-Forwarded_For"])
def test_address_that_a_caller_claims_does_not_count(url, keys, name):
    answer = raw_answer(url, {"X-API-Key": keys.elsewhere, name: "203.0.113.9"})

    assert (answer.status, json.load(answer)["code"]) == (403, "IP_NOT_ALLOWED")


def test_call_above_the_limit_is_429_with_retry_after(url, keys):
    answers = [call("GET", url, X_API_Key=keys.limited) for _ in range(2)]

    refused = answers[-1]
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.json["code"] == "RATE_LIMITED"


@pytest.mark.parametrize(
    "path", ["/a?q=%20%26%3D%3Fproject=orbit&b=1", "/%2e%2e/x?project=orbit", "/?a='\"%00%0d%0aX:1"]
)
def test_odd_addresses_arrive_as_they_are_and_change_no_question(url, keys, path):
    heard = call("GET", url + path, X_API_Key=keys.good)
    refused = call("GET", url + path, X_API_Key=keys.foreign)

    assert heard.status in (200, 400)
    assert heard.status == 400 or heard.json["path"].partition("?")[2] == path.partition("?")[2]
    assert refused.status in (401, 400)


def test_large_bodies_arrive_whole(url, keys):
    body = bytes(range(256)) * 20_000  # 5 MB

    heard = call("POST", f"{url}/upload", body, X_API_Key=keys.good).json

    assert heard["body_bytes"] == len(body)
    assert heard["body_sha256"] == hashlib.sha256(body).hexdigest()


def test_errors_of_the_api_are_passed_on(url, keys):
    answer = call("GET", f"{url}/broken", X_API_Key=keys.good)

    assert answer.status == 500
    assert answer.json["path"] == "/broken"


def test_caller_sees_what_is_left(url, gateways, keys, django_db_blocker):
    from keystore.selectors import find_key

    with django_db_blocker.unblock():
        key = find_key(keys.good)
        type(key).objects.filter(pk=key.pk).update(own_limit_per_minute=1000)
        answer = call("GET", url, X_API_Key=keys.good)
        type(key).objects.filter(pk=key.pk).update(own_limit_per_minute=None)

    assert answer.headers["x-ratelimit-limit"] == "1000"
    assert int(answer.headers["x-ratelimit-remaining"]) < 1000


def test_without_latchkey_nobody_passes(gateway, gateways, keys):
    url = gateways.start_without_latchkey(gateway)

    answer = call("GET", url, X_API_Key=keys.good, **FORGED)

    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"


def test_headers_of_a_refusal_come_once(url, keys):
    for key in (keys.revoked, keys.limited):
        names = [name.lower() for name, _ in raw_answer(url, {"X-API-Key": key}).getheaders()]
        assert [name for name in set(names) if names.count(name) > 1] in ([], ["server"])
