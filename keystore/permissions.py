"""What an app key's scopes allow, and what an end user may do."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from keystore.callers import Caller, EndUser
from keystore.errors import InsufficientScope, NotForUsers

SCOPES = (
    "checkout:write",
    "consumers:write",
    "portal:write",
    "entitlements:read",
    "grants:write",
    "keys:read",
    "keys:write",
    "subscriptions:read",
    "subscriptions:write",
    "payment-methods:read",
    "payment-methods:write",
    "invoices:read",
    "invoices:write",
    "marketplace:read",
    "marketplace:write",
    "dashboard:write",
    "billing:admin",
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


def own_or_scope(wanted: str) -> type[BasePermission]:
    """For end users, who reach their own things only, and apps with the scope."""
    return _for_users(wanted, only_admins=False)


def admin_or_scope(wanted: str) -> type[BasePermission]:
    """For end users whose token carries the project's admin role, and apps with the scope."""
    return _for_users(wanted, only_admins=True)


def _for_users(wanted: str, *, only_admins: bool) -> type[BasePermission]:
    class MayAsUserOrApp(scope(wanted)):  # type: ignore[misc]
        def has_permission(self, request: Request, view: Any) -> bool:
            asker = request.user
            if not isinstance(asker, EndUser):
                return bool(super().has_permission(request, view))
            if only_admins and not asker.is_admin:
                raise NotForUsers("This needs a token with the project's admin role.")
            return True

    return MayAsUserOrApp
