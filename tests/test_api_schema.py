"""What each endpoint really answers is what the schema says: generated clients read by it."""

import json
from functools import cache
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from tests.test_api_access import World, ask, endpoints, table, world

__all__ = ["world"]
FIGURES = ("GET api/v1/entitlements", "GET api/v1/entitlements/explain")


@cache
def document() -> dict[str, Any]:
    return json.loads(json.dumps(SchemaGenerator().get_schema(public=True)))


def resolved(shape: dict[str, Any]) -> dict[str, Any]:
    found: Any = document()
    if "$ref" not in shape:
        return shape
    for step in shape["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found)


def parts_of(shape: dict[str, Any]) -> list[dict[str, Any]]:
    """The shape and all that it is made of."""
    shape = resolved(shape)
    made_of = [one for word in ("allOf", "anyOf", "oneOf") for one in shape.get(word, [])]
    return [shape, *(part for one in made_of for part in parts_of(one))]


def unnamed(shape: dict[str, Any], value: Any, at: str = "") -> list[str]:
    """Names in an answer of which the schema says nothing."""
    parts = parts_of(shape)
    if isinstance(value, list):
        of_each = next((one["items"] for one in parts if "items" in one), {})
        return sorted({name for one in value for name in unnamed(of_each, one, at)})
    named = {name: one for part in parts for name, one in part.get("properties", {}).items()}
    if not isinstance(value, dict) or not named:
        return []
    unknown = [f"{at}.{name}" for name in value if name not in named]
    known = [name for name in value if name in named]
    return unknown + [
        found for name in known for found in unnamed(named[name], value[name], f"{at}.{name}")
    ]


def misfits(operation: dict[str, Any], status: int, body: str) -> list[str]:
    """How an answer differs from what the schema says of it."""
    told = operation["responses"].get(str(status))
    if told is None:
        return [f"{status} is not in the schema"]
    content = list(told.get("content", {}).values())
    if not content or not body.startswith(("{", "[")):
        return []
    answer, shape = json.loads(body), content[0]["schema"]
    validator = Draft202012Validator({**shape, "components": document()["components"]})
    wrong = {f"{one.json_path}: {one.message}" for one in validator.iter_errors(answer)}
    return sorted(wrong) + unnamed(shape, answer)


@pytest.mark.parametrize(
    "more", [{}, {"usage": "true", "feature_code": "labs"}], ids=["plain", "with usage"]
)
def test_every_answer_is_as_the_schema_says(world: World, more):
    found = {}
    for row, pattern in endpoints().items():
        method, _, path = row.partition(" ")
        operation = document()["paths"].get(f"/{path}", {}).get(method.lower())
        if operation is None or "A" not in table()[row] or (more and row not in FIGURES):
            continue
        status, body, _ = ask(world, "A", row, pattern, **more)
        if status < 500 and (wrong := misfits(operation, status, body)):
            found[row] = wrong

    assert found == {}


def test_fractions_and_refused_events_are_as_the_schema_says(world: World):
    app, own = world.clients["A"], world.clients["K"]
    events = "/api/v1/usage/events"

    def tell(**said):
        event = {"id": "evt_part", "meter": "labs", "user_id": "alice", "quantity": 0.25, **said}
        return "post", events, app.post(events, event, content_type="application/json")

    asked = "/api/v1/keys/verify"
    answers = [
        tell(),
        tell(quantity=2),
        tell(id="evt_unknown", meter="nothing"),
        ("get", events + "/{event_id}", app.get(f"{events}/evt_unknown")),
        ("get", asked, own.get(asked, {"meter": "labs", "cost": 0})),
        ("get", "/whoami", own.get("/whoami")),
    ]

    assert [answer.status_code for _, _, answer in answers] == [200, 409, 422, 200, 200, 200]
    assert answers[4][2].json()["quota"]["used"] == 1.25
    for method, path, answer in answers:
        operation = document()["paths"][path][method]
        assert misfits(operation, answer.status_code, answer.content.decode()) == []


def test_every_example_of_a_body_is_as_the_schema_says():
    wrong = {}
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                shape = {**content["schema"], "components": document()["components"]}
                validator = Draft202012Validator(shape)
                for example in content.get("examples", {}).values():
                    if found := [one.message for one in validator.iter_errors(example["value"])]:
                        wrong[f"{method} {path}"] = found

    assert wrong == {}


def test_events_have_a_shape():
    """Each way to send them, and none takes just anything."""
    body = document()["paths"]["/api/v1/usage/events"]["post"]["requestBody"]["content"]

    assert len(body) == 3
    for content in body.values():
        assert not Draft202012Validator(
            {**content["schema"], "components": document()["components"]}
        ).is_valid({"id": "7f1c", "quantity": 1})
