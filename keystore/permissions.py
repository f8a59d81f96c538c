"""What an app key's scopes allow."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from keystore.callers import Caller
from keystore.errors import InsufficientScope

SCOPES = (
    "checkout:write",
    "portal:write",
    "entitlements:read",
    "grants:write",
    "keys:read",
    "keys:write",
    "subscriptions:write",
    "metrics:read",
    "inbox:write",
    "reconciliation:write",
    "usage:write",
    "usage:read",
    "meters:write",
    "hooks:read",
    "hooks:write",
)


def scope(wanted: str) -> type[BasePermission]:
    """The permission class of endpoints that need `wanted`; "*" holds every scope."""
    if wanted not in SCOPES:
        raise ValueError(f"{wanted} is not a scope: {', '.join(SCOPES)}")

    class HasScope(BasePermission):
        def has_permission(self, request: Request, view: Any) -> bool:
            caller = request.user
            if not isinstance(caller, Caller):
                return False
            if not caller.may(wanted):
                raise InsufficientScope(
                    f"This key lacks the scope {wanted}: use a key that has it.", scope=wanted
                )
            return True

    return HasScope
