"""Who a request to a project's API speaks for."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from keystore.models import ApiKey, App, Consumer, Project


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


@dataclass(frozen=True)
class EndUser:
    """A person, known by a token of the project's identity provider. Sees only their own things.

    `consumer` is None for somebody who was never registered; `is_admin` opens what the project's
    own administrators may see of it.
    """

    project: Project
    external_id: str
    consumer: Consumer | None
    email: str = ""
    is_admin: bool = False

    is_authenticated = True

    @property
    def actor(self) -> str:
        """How audit entries name this person: by our id, since theirs may be an address."""
        return f"user:{self.consumer.public_id if self.consumer else self.digest[:12]}"

    @property
    def digest(self) -> str:
        """The same for every token of this person, and for nobody else's."""
        return hashlib.sha256(f"{self.project.pk}:{self.external_id}".encode()).hexdigest()


def holds_scope(scopes: Collection[str], wanted: str) -> bool:
    """Whether scopes of a key cover `wanted`; "*" covers all."""
    return "*" in scopes or wanted in scopes
