"""Who a request to a project's API speaks for."""

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
        return "*" in self.key.scopes or scope in self.key.scopes
