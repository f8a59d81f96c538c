"""How the OpenAPI document describes the key that callers send."""

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
