"""Who a request to a project's API speaks for."""

from collections.abc import Collection
from dataclasses import dataclass

from keystore.models import ApiKey, App, Project


@dataclass(frozen=True)
class Caller:
    """A backend of a project, known by its key; what DRF calls the user of a request."""

    project: Project
    app: App
    key: ApiKey

    is_authenticated = True

    @property
    def actor(self) -> str:
        """How audit entries name this caller."""
        return f"app:{self.app.public_id}"

    def may(self, scope: str) -> bool:
        return holds_scope(self.key.scopes, scope)


def holds_scope(scopes: Collection[str], wanted: str) -> bool:
    """Whether scopes of a key cover `wanted`; "*" covers all."""
    return "*" in scopes or wanted in scopes
