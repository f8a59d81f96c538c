"""How the OpenAPI document describes the keys and tokens that callers send."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class AppKeyScheme(OpenApiAuthenticationExtension):
    target_class = "keystore.authentication.AppKeyAuthentication"
    name = ["appKey", "appKeyBearer"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": "The key of an app. Its scopes decide what it may do.",
            },
            {
                "type": "http",
                "scheme": "bearer",
                "description": "The same key as a Bearer token.",
            },
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[str]]]:
        """Either header is enough."""
        return [{name: []} for name in self.name]


class UserTokenScheme(OpenApiAuthenticationExtension):
    target_class = "keystore.authentication.UserTokenAuthentication"
    name = "userToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of the project's sign-in service: opens its own user's things.",
        }


# What a gateway asks about is the key that it was given: the only credential.
ASKED_ABOUT = {
    "consumerKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The user's key, which the question is about.",
    },
    "consumerKeyBearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The same key as a Bearer token.",
    },
}
KEY_ASKED_ABOUT: list[dict[str, list[str]]] = [{name: []} for name in ASKED_ABOUT]


def add_security(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """What needs no key says so: clients take no word for forgotten."""
    result["components"]["securitySchemes"] |= ASKED_ABOUT
    for operations in result["paths"].values():
        for operation in operations.values():
            operation.setdefault("security", [])
    return result


def say_anything_once(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Anything, null included, comes as "either anything or null": a null would be both."""
    for schema in result["components"]["schemas"].values():
        for shape in schema.get("properties", {}).values():
            if shape.get("oneOf") == [{}, {"type": "null"}]:
                del shape["oneOf"]
    return result


PROBLEM = "#/components/schemas/Problem"
ANYWHERE = {
    "400": "The request is not as it should be: `errors` names the places.",
    "401": "No key, or not a valid one.",
    "403": "The key may not do this: another project's, a consumer's, or without the scope.",
    "404": "There is no such thing in this project.",
    "405": "The path is right, the method is not.",
    "406": "There is no answer in the form that `Accept` asks for.",
    "429": "Too often: try again after `Retry-After` seconds.",
    "503": "For the moment this cannot be done: nothing was changed, try again.",
}
ON_WRITES = {
    "409": "It is already so, or something else is going on with it.",
    "413": "The body is too large.",
    "415": "The body's `Content-Type` is not one that is read here.",
    "422": "Understood, and refused; or the `Idempotency-Key` was used for something else.",
}


def add_refusals(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Every operation may be refused in the same ways: said once, here."""
    for operations in result["paths"].values():
        for method, operation in operations.items():
            refusals = ANYWHERE if method == "get" else {**ANYWHERE, **ON_WRITES}
            responses = operation["responses"]
            for status, meaning in refusals.items():
                if status not in responses or _is_problem(responses[status]):
                    told = responses.get(status, {}).get("description") or meaning
                    responses[status] = _refusal(told)
    return result


def _is_problem(response: dict[str, Any]) -> bool:
    """A view that names its refusals itself cannot name their content type."""
    content = response.get("content", {}).values()
    return any(one.get("schema", {}).get("$ref") == PROBLEM for one in content)


def _refusal(meaning: str) -> dict[str, Any]:
    body = {"application/problem+json": {"schema": {"$ref": PROBLEM}}}
    return {"description": meaning, "content": body}
