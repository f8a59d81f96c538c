"""One mail exactly as it is sent: the preview, the test to oneself and the sending share this."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formataddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import override

from billing.dunning.course import owed, policy_of
from billing.dunning.language import language_of
from billing.dunning.links import pay_url
from billing.dunning.texts import BUTTON, Text, as_html, as_subject, clean, fill, text_for
from billing.models import DunningCourse, DunningPolicy
from billing.ownpages.wording import day, money

TIMEOUT_SECONDS = 10  # of the mail server


@dataclass(frozen=True)
class Letter:
    language: str
    sender: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Facts:
    """What a mail tells. Money and instants are written in the language of the mail."""

    name: str
    project: str
    plan: str
    amount_minor: int
    currency: str
    invoice: str
    access_until: datetime
    link: str


def letter_of(course: DunningCourse, kind: str) -> Letter:
    """The mail of a course as it would leave now."""
    policy = policy_of(course.project)
    language = language_of(course, policy)
    text = text_for(course.project, kind, language)
    return compose(text=text, facts=facts_of(course, language), policy=policy, language=language)


def facts_of(course: DunningCourse, language: str) -> Facts:
    invoice, plan = course.invoice, course.subscription.plan
    return Facts(
        name=course.consumer.name,
        project=str(course.project),
        plan=str(plan.name or plan.code) if plan else str(course.project),
        amount_minor=owed(invoice) or invoice.total_minor,
        currency=invoice.currency,
        invoice=invoice.number or invoice.stripe_invoice_id,
        access_until=course.access_until,
        link=pay_url(course, language),
    )


def compose(*, text: Text, facts: Facts, policy: DunningPolicy, language: str) -> Letter:
    with override(language):
        values = _values(facts)
        button = _(BUTTON)
    subject = as_subject(text.subject, values)
    paragraphs = as_html(text.body, values, button)
    shown = {"language": language, "subject": subject, "paragraphs": paragraphs}
    return Letter(
        language=language,
        sender=sender_of(policy),
        subject=subject,
        text=fill(text.body, values) + "\n",
        html=render_to_string("billing/dunning/mail.html", shown),
    )


def _values(facts: Facts) -> dict[str, str]:
    until = facts.access_until.astimezone(UTC)
    name = clean(facts.name)
    hello = {"name": name}
    return {
        "greeting": _("Hello %(name)s,") % hello if name else _("Hello,"),
        "name": name,
        "project": facts.project,
        "plan": facts.plan,
        "amount": money(facts.amount_minor, facts.currency),
        "invoice": facts.invoice,
        "pay_by": day(until),
        "pay_time": f"{until:%H:%M} UTC",
        "link": facts.link,
    }


def sender_of(policy: DunningPolicy) -> str:
    """The project's own name and address, or ours."""
    address = policy.sender_address or settings.DEFAULT_FROM_EMAIL
    name = clean(policy.sender_name)
    return formataddr((name, address)) if name and "<" not in address else address


def send(letter: Letter, *, to: str, message_id: str) -> None:
    """Hand it to the mail server. `message_id` is the same at each try, so that a mail program
    that gets it twice may show it once. Raises OSError.
    """
    mail = EmailMultiAlternatives(
        letter.subject,
        letter.text,
        letter.sender,
        [to],
        headers={
            "Message-ID": f"<{message_id}@{_host()}>",
            "Auto-Submitted": "auto-generated",
            "Content-Language": letter.language,
        },
        connection=get_connection(timeout=TIMEOUT_SECONDS),
    )
    mail.attach_alternative(letter.html, "text/html")
    mail.send()


def _host() -> str:
    return str(settings.PUBLIC_URL).split("://", 1)[-1].split("/")[0].split(":")[0]
