import re
from html.parser import HTMLParser
from io import StringIO

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.urls import get_resolver
from drf_spectacular.generators import SchemaGenerator
from rest_framework.views import APIView

UNDOCUMENTED = {"schema", "docs", "redoc"}  # they describe the API


class Sources(HTMLParser):
    """Every address that a page makes the browser load, and every inline script."""

    def __init__(self):
        super().__init__()
        self.loaded, self.inline_scripts, self.in_script = [], [], False

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.in_script = tag == "script" and "src" not in given
        if tag in {"script", "img", "link", "redoc"}:
            self.loaded += [given[name] for name in ("src", "href", "spec-url") if name in given]

    def handle_data(self, text):
        if self.in_script and text.strip():
            self.inline_scripts.append(text)


def api_views(patterns, prefix=""):
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from api_views(pattern.url_patterns, path)
        elif issubclass(getattr(pattern.callback, "view_class", object), APIView):
            yield pattern.name, "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)


def test_schema_is_valid_and_without_warnings():
    call_command("spectacular", validate=True, fail_on_warn=True, file="/dev/null")


def test_schema_is_served_as_openapi_3_1(client):
    schema = yaml.safe_load(client.get("/api/schema").content)

    assert schema["openapi"] == "3.1.0"
    assert schema["info"]["title"] == "Latchkey"


def operations():
    for path in SchemaGenerator().get_schema(public=True)["paths"].values():
        yield from path.values()


def test_every_operation_has_a_summary():
    assert [one["operationId"] for one in operations() if not one.get("summary")] == []


def test_every_request_body_has_an_example_to_try_out():
    bodies = {
        one["operationId"]: one["requestBody"]["content"]["application/json"]
        for one in operations()
        if "requestBody" in one
    }

    assert bodies
    assert [name for name, body in bodies.items() if "examples" not in body] == []


def test_every_endpoint_is_in_the_schema():
    documented = set(SchemaGenerator().get_schema(public=True)["paths"])
    served = {
        path for name, path in api_views(get_resolver().url_patterns) if name not in UNDOCUMENTED
    }

    assert served - documented == set()


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_reference_loads_nothing_from_elsewhere(client, path):
    page = Sources()
    page.feed(client.get(path).content.decode())

    loaded = [address for address in page.loaded if not address.startswith("data:")]
    assert loaded
    assert [address for address in loaded if "//" in address] == []
    assert page.inline_scripts == []
    for address in loaded:
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")), address


def test_swagger_gets_its_script_apart(client):
    response = client.get("/docs?script=")

    assert response["Content-Type"].startswith("application/javascript")
    assert "/api/schema" in response.content.decode() or "schema" in response.content.decode()


def test_command_prints_the_schema():
    out = StringIO()
    call_command("spectacular", stdout=out)

    assert "/api/schema" not in yaml.safe_load(out.getvalue()).get("paths", {})


def test_schema_says_which_key_each_operation_takes():
    schema = SchemaGenerator().get_schema(public=True)
    taken = {
        f"{method.upper()} {path}": [name for one in operation["security"] for name in one]
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    asked_about = ["consumerKey", "consumerKeyBearer"]

    assert {row for row, names in taken.items() if names == asked_about} == {
        "GET /whoami",
        "GET /api/v1/whoami",
        "GET /api/v1/keys/verify",
    }
    assert {row for row, names in taken.items() if not names} == {
        "POST /api/v1/secret-scanning/revoke",
        "POST /billing/create-checkout-session",
    }
    named = {name for names in taken.values() for name in names}
    assert named <= set(schema["components"]["securitySchemes"])
    assert schema["servers"][0]["url"] == "/"
