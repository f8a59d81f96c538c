"""What the mails say: standard texts, a project's own ones, and the placeholders in both.

A text is plain: `{amount}` and the like are replaced once, by values that are one line each.
Nothing in a text or a value is ever run or read again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.template.loader import get_template
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_noop

from billing.models import DunningText, StepKind
from config.errors import InvalidInput
from keystore.models import Project

PLACEHOLDERS = {
    "greeting": "Hello Ada, without a name just Hello,",
    "name": "the customer's name; may be empty",
    "project": "the project's name",
    "plan": "the plan that is not paid",
    "amount": "what is owed: 14.99 USD",
    "invoice": "the invoice's number",
    "pay_by": "the day on which access ends",
    "pay_time": "its hour: 12:00 UTC",
    "link": "the page to pay; on a line of its own it is a button",
}
# Whoever is asked for money must find the way to pay.
ASKING = frozenset({StepKind.FAILED, StepKind.REMINDER, StepKind.LAST, StepKind.ENDED})
BUTTON = gettext_noop("Look at the invoice and pay")
MOST_SUBJECT, MOST_BODY = 200, 5000
# Its look is said here once more: some mail programs drop the style sheet.
BUTTON_HTML = (
    '<p><a class="button" href="{}" style="display:inline-block;padding:11px 20px;'
    "border-radius:8px;background:#7a4b00;color:#fbfaf7;font-weight:600;"
    'text-decoration:none">{}</a></p>\n<p class="quiet"><a href="{}">{}</a></p>'
)
PLACEHOLDER = re.compile(r"\{([^{}\n]*)\}")
STRAY = re.compile(r"[{}]")
PARAGRAPHS = re.compile(r"\n\s*\n")
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")


class TextRefused(InvalidInput):
    """A text that could not be sent as it is."""

    code = "dunning_text_refused"


@dataclass(frozen=True)
class Text:
    subject: str
    body: str


def text_for(project: Project, kind: str, language: str) -> Text:
    """The project's own text, else the standard one."""
    own = DunningText.objects.filter(project=project, kind=kind, language=language).first()
    return Text(own.subject, own.body) if own else standard(kind, language)


def standard(kind: str, language: str) -> Text:
    """What is sent when a project says nothing else."""
    source = get_template(f"billing/dunning/{language}/{kind}.txt").template.source  # type: ignore[attr-defined]
    subject, _, body = source.partition("\n")
    return Text(subject.strip(), body.strip())


def check_text(*, kind: str, subject: str, body: str) -> Text:
    """The text as it is kept. Raises TextRefused with what to change."""
    text = Text(subject.strip(), body.replace("\r\n", "\n").replace("\r", "\n").strip())
    if not text.subject or not text.body:
        raise TextRefused("A text needs a subject and a body.")
    if len(text.subject) > MOST_SUBJECT or len(text.body) > MOST_BODY:
        raise TextRefused(
            f"A subject has at most {MOST_SUBJECT} characters, a body at most {MOST_BODY}."
        )
    if UNSEEN.search(text.subject) or UNSEEN.search(text.body.replace("\n", "").replace("\t", "")):
        raise TextRefused("A text has no control characters, and a subject is one line.")
    _check_placeholders(text)
    if kind in ASKING and "{link}" not in text.body:
        raise TextRefused("The body needs {link}: without it nobody finds the page to pay.")
    return text


def _check_placeholders(text: Text) -> None:
    allowed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    for part in (text.subject, text.body):
        for name in PLACEHOLDER.findall(part):
            if name not in PLACEHOLDERS:
                raise TextRefused(f"There is no {{{name}}}. Use any of: {allowed}.")
        if STRAY.search(PLACEHOLDER.sub("", part)):
            raise TextRefused(f"A brace stands alone. Braces enclose one of: {allowed}.")
    if "{link}" in text.subject:
        raise TextRefused("A subject holds no link: put {link} into the body.")


def clean(value: str) -> str:
    """A value as one line, without anything that could end a header or turn the text around."""
    return " ".join(UNSEEN.sub(" ", value).split())


def fill(template: str, values: Mapping[str, str]) -> str:
    """Each placeholder replaced once; what is put in is not looked at again."""
    return PLACEHOLDER.sub(lambda found: clean(values.get(found[1], found[0])), template)


def as_subject(template: str, values: Mapping[str, str]) -> str:
    return clean(fill(template, values))[: MOST_SUBJECT * 2]


def as_html(template: str, values: Mapping[str, str], button: str) -> SafeString:
    """The paragraphs of a body, everything in them escaped; a link on its own is a button."""
    paragraphs = (one.strip() for one in PARAGRAPHS.split(template))
    return format_html_join("\n", "{}", ((_paragraph(one, values, button),) for one in paragraphs))


def _paragraph(template: str, values: Mapping[str, str], button: str) -> SafeString:
    link = values["link"]
    if template == "{link}":
        return format_html(BUTTON_HTML, link, button, link, link)
    parts = [escape(fill(part, values)) for part in template.split("{link}")]
    joined = format_html('<a href="{}">{}</a>', link, link).join(parts)
    # Every part was escaped above.
    return mark_safe(f"<p>{joined.replace(chr(10), '<br>')}</p>")
