"""dj-stripe's own webhook view: it verifies, stores and works the event off, then answers.

`BENCH_ONLY_STORE=1` gives it a callback that does nothing, so that it only verifies and stores.
Stripe is the sandbox, on the same machine: the real one answers 100 to 300 ms later.
"""

import os
from typing import Any

from django.conf import settings

from bench.baselines.django_project import configure
from bench.baselines.djstripe_uuid import UUID

STRIPE_KEY = "sk_test_" + "bench" * 6  # dj-stripe looks at its form


def ignore(event: Any, **given: Any) -> None:
    """Work nothing off."""


if not settings.configured:
    only_store = os.environ.get("BENCH_ONLY_STORE") == "1"
    configure(
        __name__,
        os.environ.get("BENCH_DJSTRIPE", "run_djstripe"),
        ["djstripe"],
        STRIPE_LIVE_MODE=False,
        STRIPE_TEST_SECRET_KEY=STRIPE_KEY,
        DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
        MIGRATION_MODULES={"djstripe": "config.djstripe_migrations"},  # the same tables, sooner
        **({"DJSTRIPE_WEBHOOK_EVENT_CALLBACK": ignore} if only_store else {}),
    )

import stripe  # noqa: E402  needs the settings
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402
from djstripe.models import Customer, WebhookEndpoint  # noqa: E402

stripe.api_base = os.environ["BENCH_STRIPE"]
urlpatterns = [path("", include("djstripe.urls", namespace="djstripe"))]
application = get_wsgi_application()


def migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def fill(customers: int) -> list[str]:
    """Make the endpoint, and customers at Stripe and here; their ids."""
    WebhookEndpoint.objects.get_or_create(
        id="we_bench",
        defaults={
            "djstripe_uuid": UUID,
            "secret": os.environ["BENCH_WEBHOOK_SECRET"],
            "livemode": False,
            "url": "http://127.0.0.1",
            "status": "enabled",
            "enabled_events": ["*"],
            "api_version": stripe.api_version,
            "djstripe_validation_method": "verify_signature",
        },
    )
    made = []
    for number in range(customers):
        found = stripe.Customer.create(email=f"user{number}@example.com", api_key=STRIPE_KEY)
        Customer.sync_from_stripe_data(found, api_key=STRIPE_KEY)
        made.append(found.id)
    return made


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 1:
        migrate()
    else:
        print("\n".join(fill(int(sys.argv[1]))))
