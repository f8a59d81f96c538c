"""A key of djangorestframework-api-key under a throttle of DRF, as their documentation has it.

Django's usual middleware, a cache in Redis for the throttle, connections that are kept.
"""

from typing import Any

from django.conf import settings

from bench.baselines.django_project import configure

if not settings.configured:
    configure(
        __name__,
        "run_drf",
        ["rest_framework", "rest_framework_api_key"],
        REST_FRAMEWORK={
            "DEFAULT_THROTTLE_RATES": {"key": "1000000000/min"},
            "DEFAULT_AUTHENTICATION_CLASSES": [],
            "UNAUTHENTICATED_USER": None,
        },
    )

from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView
from rest_framework_api_key.models import APIKey
from rest_framework_api_key.permissions import HasAPIKey


class KeyThrottle(SimpleRateThrottle):
    """Per key. DRF keeps the time of each request of the last minute in a list in the cache."""

    scope = "key"

    def get_cache_key(self, request: Any, view: Any) -> str:
        prefix = request.META["HTTP_AUTHORIZATION"].partition(" ")[2].partition(".")[0]
        return f"throttle:{prefix}"


class Whoami(APIView):
    permission_classes = [HasAPIKey]
    throttle_classes = [KeyThrottle]

    def get(self, request: Any) -> Response:
        key = APIKey.objects.get_from_key(request.META["HTTP_AUTHORIZATION"].partition(" ")[2])
        return Response({"valid": True, "name": key.name})


urlpatterns = [path("whoami", Whoami.as_view())]
application = get_wsgi_application()


def fill(keys: int) -> list[str]:
    """Make the tables, and new keys; their plaintexts."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    made = []
    rows = []
    for number in range(keys):
        row = APIKey(name=f"key {number}")
        made.append(APIKey.objects.assign_key(row))
        rows.append(row)
    APIKey.objects.bulk_create(rows, batch_size=1000)
    return made


if __name__ == "__main__":
    import sys

    print("\n".join(fill(int(sys.argv[1]))))
