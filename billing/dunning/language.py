"""In which language somebody is written to."""

from collections.abc import Iterable
from contextlib import suppress

from django.conf import settings
from django.utils.translation import get_supported_language_variant

from billing.models import DunningCourse, DunningPolicy, StripeCustomer


def spoken(locales: Iterable[str]) -> str:
    """The first of Stripe's locales that we speak; "" for none."""
    for locale in locales:
        with suppress(LookupError):
            return str(get_supported_language_variant(locale.lower()))
    return ""


def language_of(course: DunningCourse, policy: DunningPolicy) -> str:
    """The customer's, else the project's, else ours."""
    holder = StripeCustomer.objects.filter(consumer=course.consumer_id).only("language").first()
    chosen = (holder.language if holder else "") or policy.language
    return chosen if chosen in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
