"""What every billing endpoint asks of its caller first."""

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from billing.origins import require_allowed
from keystore.models import Project
from keystore.selectors import project_of_caller


def checked(serializer: type[Serializer], given: Any) -> dict[str, Any]:
    """The input, validated. Raises DRF's ValidationError."""
    asked = serializer(data=given)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def project_named(request: Request, asked: dict[str, Any]) -> Project:
    """The caller's project; naming another one is refused."""
    project_id = asked.get("project_id") or request.user.project.pk
    return project_of_caller(request.user, project_id)


def allowed_url(url: str, *, field: str, project: Project) -> str:
    """The url if it leads back to the project; "" stays ""."""
    if not url:
        return ""
    return require_allowed(
        url,
        field=field,
        origins=project.allowed_origins,
        local_allowed=settings.DEBUG,
    )
