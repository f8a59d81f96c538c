"""What is mailed: the texts, the letter, and its way to the mail server."""

import re
import smtplib
from datetime import timedelta
from email import message_from_bytes

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils.html import escape

from billing.dunning.language import spoken
from billing.dunning.letters import letter_of
from billing.dunning.mails import send_due
from billing.dunning.steps import take_due
from billing.dunning.texts import PLACEHOLDERS, TextRefused, as_html, check_text, fill, standard
from billing.models import DunningPolicy, DunningText, StepKind, StripeCustomer
from tests.billing.dunning.conftest import codes, course_of, settle
from tests.conftest import NOON

sends = pytest.mark.django_db(transaction=True)
KINDS = list(StepKind.values)


class Refusing(EmailBackend):
    """A mail server that knows nobody."""

    def send_messages(self, messages):
        raise smtplib.SMTPRecipientsRefused({"alice@example.com": (550, b"no such user")})


class Overtaken(EmailBackend):
    """While the first mail is being handed over, another worker looks for work."""

    others = []

    def send_messages(self, messages):
        if not self.others:
            self.others.append("looking")
            self.others[:] = [send_due(clock=lambda: NOON)]
        return super().send_messages(messages)


class Away(EmailBackend):
    def send_messages(self, messages):
        raise ConnectionRefusedError


def sent_at(instant):
    take_due(at=instant)
    return send_due(clock=lambda: instant)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["en", "de"])
def test_every_standard_text_could_be_saved_as_it_is(kind, language):
    text = standard(kind, language)
    assert check_text(kind=kind, subject=text.subject, body=text.body) == text


@pytest.mark.parametrize(
    ("locales", "language"),
    [([], ""), (["fr"], ""), (["de-AT"], "de"), (["fr", "en-GB"], "en"), (["x" * 300], "")],
)
def test_the_first_language_that_we_speak(locales, language):
    assert spoken(locales) == language


@pytest.mark.django_db
def test_a_german_customer_reads_german_money_and_days(course, alice):
    StripeCustomer.objects.update(language="de")

    letter = letter_of(course, StepKind.FAILED)

    assert letter.subject == "Ihre Zahlung von 14,99 USD an Journal ist fehlgeschlagen"
    assert "bis 8. März 2026, 12:00 UTC" in letter.text
    assert "Rechnung ansehen und bezahlen" in letter.html
    assert 'lang="de"' in letter.html
    assert "lang=de" in letter.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [(1499, "jpy", "1,499 JPY"), (1499, "bhd", "1.499 BHD"), (149900, "eur", "1,499.00 EUR")],
)
def test_amounts_have_the_places_of_their_currency(alice, pro, amount, currency, shown):
    course = course_of(alice, pro, total_minor=amount, currency=currency)
    assert f"of {shown} to" in letter_of(course, StepKind.FAILED).subject


@sends
def test_a_name_writes_no_header_and_no_html(course, alice, journal):
    alice.name = "Eve\r\nBcc: all@example.com <b>{link}</b> {{ 7 }}"
    journal.name = "Journal\nX-Evil: 1"
    alice.save()
    journal.save()
    DunningPolicy.objects.create(project=journal, sender_name='A\r\nBcc: x@y.example "B"')

    assert sent_at(NOON) == 1

    (raw,) = mail.outbox
    parsed = message_from_bytes(raw.message().as_bytes())
    assert (parsed["Bcc"], parsed["X-Evil"], parsed["To"]) == (None, None, "alice@example.com")
    assert "<b>" not in raw.alternatives[0][0]
    assert escape("<b>{link}</b> {{ 7 }}") in raw.alternatives[0][0]
    assert raw.body.startswith("Hello Eve Bcc: all@example.com <b>{link}</b> {{ 7 }},")


@pytest.mark.django_db
def test_a_letter_has_both_forms_one_link_and_nothing_that_counts_clicks(course):
    letter = letter_of(course, StepKind.FAILED)

    links = set(re.findall(r"https?://[^\s\"<]+", letter.text + letter.html.replace("&amp;", "&")))
    assert len(links) == 1
    assert links.pop().startswith("http://127.0.0.1:8000/pay?token=dun_")
    assert "<img" not in letter.html


@pytest.mark.parametrize(
    ("subject", "body", "says"),
    [
        ("Pay", "{link} {amonut}", "There is no {amonut}. Use any of: {greeting}, {name}"),
        ("Pay", "{link} {amount.__class__}", "There is no {amount.__class__}"),
        ("Pay", "{link} {{ amount }}", "There is no { amount }"),
        ("Pay", "{link} {{amount}}", "A brace stands alone"),
        ("Pay", "{link} }", "A brace stands alone"),
        ("Pay", "please", "needs {link}"),
        ("Pay {link}", "{link}", "A subject holds no link"),
        ("", "{link}", "needs a subject"),
        ("Pay\r\nBcc: x@y.example", "{link}", "one line"),
        ("P" * 201, "{link}", "at most 200"),
        ("Pay", "{link}" + "x" * 5000, "at most 5000"),
        ("Pay", "{link}\x00", "control characters"),
    ],
)
def test_a_text_that_could_not_be_sent_is_refused_with_its_remedy(subject, body, says):
    with pytest.raises(TextRefused) as refused:
        check_text(kind=StepKind.REMINDER, subject=subject, body=body)
    assert says in refused.value.message


def test_what_is_not_asked_for_money_needs_no_link():
    check_text(kind=StepKind.RECOVERED, subject="Paid", body="Thank you, {name}.")


def test_a_text_is_escaped_and_never_run():
    values = dict.fromkeys(PLACEHOLDERS, "<i>{name}</i>")
    values["link"] = "https://x.example/?a=1&b=2"

    assert fill("{name}{% now 'Y' %}", values) == "<i>{name}</i>{% now 'Y' %}"
    html = as_html("<script>{name}</script>\nhere: {link}\n\n{link}", values, "Pay")
    assert html.startswith(
        "<p>&lt;script&gt;&lt;i&gt;{name}&lt;/i&gt;&lt;/script&gt;<br>here: "
        '<a href="https://x.example/?a=1&amp;b=2">'
    )
    assert html.count('class="button"') == 1


@sends
def test_the_projects_own_words_and_sender(course, journal):
    terms = {"kind": "payment_failed", "language": "en"}
    DunningText.objects.create(
        project=journal, subject="Oh no, {name}", body="Pay {amount}: {link}", **terms
    )
    DunningPolicy.objects.create(
        project=journal, sender_name="Journal, billing", sender_address="pay@journal.example"
    )

    sent_at(NOON)

    (found,) = mail.outbox
    assert found.subject == "Oh no,"
    assert found.from_email == '"Journal, billing" <pay@journal.example>'
    assert found.body.startswith("Pay 14.99 USD: http")


@sends
def test_paid_while_the_mail_waited_nothing_is_sent(course):
    take_due(at=NOON)
    settle(course, "paid", paid_minor=1499)

    assert send_due(clock=lambda: NOON) == 0
    assert (codes(course), mail.outbox) == ([("day:0", "withdrawn")], [])


@sends
def test_a_mail_server_that_is_away_is_tried_again_under_the_same_id(course, settings):
    usual, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Away"
    assert sent_at(NOON) == 0
    assert send_due(clock=lambda: NOON) == 0  # not before its time
    settings.EMAIL_BACKEND = usual

    assert send_due(clock=lambda: NOON + timedelta(minutes=2)) == 1
    step = course.steps.get()
    assert mail.outbox[0].extra_headers["Message-ID"] == f"<{step.public_id}@127.0.0.1>"


@sends
@pytest.mark.parametrize(
    ("backend", "waited", "note"),
    [
        ("Refusing", timedelta(0), "the mail server refuses the address"),
        ("Away", timedelta(days=2, hours=23), ""),
        ("Away", timedelta(days=3, seconds=1), "the mail server was away for too long"),
    ],
)
def test_what_never_arrives_is_given_up(course, settings, backend, waited, note):
    settings.EMAIL_BACKEND = f"{__name__}.{backend}"
    take_due(at=NOON)

    send_due(clock=lambda: NOON + waited)

    assert course.steps.get().note == note


@sends
def test_a_mail_that_is_being_sent_is_nobody_elses_work(course, settings):
    settings.EMAIL_BACKEND = f"{__name__}.Overtaken"
    Overtaken.others.clear()

    assert (sent_at(NOON), Overtaken.others, len(mail.outbox)) == (1, [0], 1)


@sends
def test_a_worker_that_died_in_the_middle_leaves_its_lease(course):
    take_due(at=NOON)
    course.steps.update(lease_until=NOON + timedelta(minutes=2))

    assert send_due(clock=lambda: NOON + timedelta(minutes=1)) == 0
    assert send_due(clock=lambda: NOON + timedelta(minutes=2)) == 1
