"""The link to the page to pay: signed, the same in every mail of a course, kept nowhere."""

from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.urls import reverse

from billing.dunning.course import is_over, policy_of
from billing.models import DunningCourse

SALT = "billing.dunning.pay"


def token_of(course: DunningCourse) -> str:
    return signing.Signer(salt=SALT).sign(course.public_id)


def pay_url(course: DunningCourse, language: str = "") -> str:
    """Without a language the page opens in that of the browser."""
    address = f"{settings.PUBLIC_URL}{reverse('pay')}"
    asked = {"token": token_of(course), **({"lang": language} if language else {})}
    return f"{address}?{urlencode(asked)}"


def course_behind(token: str) -> DunningCourse | None:
    """The course whose link it is. None: nobody signed it, or the customer is gone."""
    try:
        public_id = signing.Signer(salt=SALT).unsign(token)
    except signing.BadSignature:
        return None
    rows = DunningCourse.objects.select_related(
        "consumer", "project", "invoice", "subscription__plan", "subscription__project"
    )
    course = rows.filter(public_id=public_id).first()
    return None if course is None or is_over(course.consumer) else course


def is_too_old(course: DunningCourse, at: datetime) -> bool:
    """Whether the project's limit is over; a link to what is settled says so for ever."""
    return at >= course.failed_at + timedelta(days=policy_of(course.project).link_days)
