"""What staff do to a course, and what their pages show."""

from datetime import timedelta

import pytest
from django.core import mail

from billing.dunning import desk
from billing.dunning.course import look_again
from billing.dunning.steps import take_due, work_dunning
from billing.models import DunningCourse, DunningPolicy, DunningText
from keystore.models import AuditEntry, OutboxMessage
from tests.billing.admin.conftest import say
from tests.billing.dunning.conftest import codes, settle
from tests.conftest import NOON
from tests.staff import client_of

BY = {"actor": "staff:sam", "reason": "they called"}
DAY = timedelta(days=1)
TEXTS = "/admin/billing/dunningtext/write/"


def after(days):
    return NOON + days * DAY


@pytest.fixture
def at(monkeypatch):
    """Sets the clock of the pages."""

    def set_to(instant):
        for module in ("billing.admin.dunning", "billing.admin.dunning_texts", "config.adminui"):
            monkeypatch.setattr(f"{module}.now", lambda: instant, raising=False)

    set_to(NOON)
    return set_to


def url_of(course, act):
    return f"/admin/billing/dunningcourse/{course.pk}/{act}/"


def press(client, course, act, reason="they called"):
    return client.post(url_of(course, act), say(reason))


@pytest.mark.django_db
def test_now_sends_the_next_one_early_and_a_second_click_nothing(course):
    take_due(at=NOON)
    with pytest.raises(desk.JustReminded):
        desk.remind_now(course=course, at=NOON + timedelta(minutes=9), **BY)

    desk.remind_now(course=course, at=after(1), **BY)

    assert codes(course) == [("day:0", "waiting"), ("day:3", "waiting")]
    assert take_due(at=after(4)) == 0
    entry = AuditEntry.objects.get(actor="staff:sam")
    assert (entry.act, entry.reason.rpartition(". ")[2]) == ("dunning.reminder", "they called")


@pytest.mark.django_db
@pytest.mark.parametrize(("days", "kind"), [(6.5, "reminder"), (8, "access_ended")])
def test_when_all_are_out_now_says_it_once_more(course, heard, days, kind):
    take_due(at=after(days))

    step = desk.remind_now(course=course, at=after(days + 0.1), **BY)

    assert (step.code, step.kind, step.state) == ("staff:1", kind, "waiting")
    assert OutboxMessage.objects.filter(kind="access.ended").count() == (days > 7)


@pytest.mark.django_db
def test_a_pause_holds_the_mails_and_not_the_end_of_access(course, heard):
    take_due(at=NOON)
    assert desk.pause(course=course, at=after(1), **BY)
    assert not desk.pause(course=course, at=after(1), **BY)
    with pytest.raises(desk.CourseClosed):
        desk.remind_now(course=course, at=after(2), **BY)

    assert [take_due(at=after(days)) for days in (3, 6, 7)] == [0, 0, 1]

    assert codes(course) == [("day:0", "withdrawn"), ("ended", "silent")]
    assert course.steps.get(code="ended").note == "paused: they called"
    assert OutboxMessage.objects.filter(kind="access.ended").count() == 1


@pytest.mark.django_db
def test_resumed_only_the_latest_goes_out(course):
    take_due(at=NOON)
    desk.pause(course=course, at=after(1), **BY)
    assert desk.resume(course=course, at=after(6.5), **BY)
    assert not desk.resume(course=course, at=after(6.5), **BY)

    take_due(at=after(6.5))

    assert codes(course)[1:] == [("day:3", "missed"), ("last", "waiting")]


@pytest.mark.django_db
def test_skipped_is_skipped_until_nothing_is_left(course):
    take_due(at=NOON)
    for _ in range(2):
        desk.skip(course=course, at=after(1), **BY)

    assert codes(course)[1:] == [("day:3", "skipped"), ("last", "skipped")]
    with pytest.raises(desk.NothingToSkip):
        desk.skip(course=course, at=after(1), **BY)
    assert [take_due(at=after(days)) for days in (3, 6, 7)] == [0, 0, 1]


@pytest.mark.django_db
@pytest.mark.parametrize("act", [desk.remind_now, desk.pause, desk.resume, desk.skip])
def test_nothing_is_done_about_a_settled_invoice(course, act):
    settle(course, "paid", paid_minor=1499)

    with pytest.raises(desk.CourseClosed):
        act(course=course, at=after(1), **BY)


@pytest.mark.django_db
def test_another_schedule_counts_at_once(course, journal):
    take_due(at=NOON)
    DunningPolicy.objects.create(project=journal, reminder_days=[0, 1], last_reminder_hours=0)
    look_again(project=journal, at=NOON)

    assert [take_due(at=after(days)) for days in (0.5, 1, 3, 6)] == [0, 1, 0, 0]
    assert codes(course)[1:] == [("day:1", "waiting")]


@pytest.mark.django_db(transaction=True)
def test_support_reminds_pauses_and_reads_where_it_stands(course, at):
    work_dunning(clock=lambda: NOON)
    at(after(1))
    support = client_of("Support")

    assert (
        press(support, course, "send_now")
        .headers["HX-Redirect"]
        .endswith(f"/dunningcourse/{course.pk}/change/")
    )
    press(support, course, "pause", reason="on holiday")

    assert len(mail.outbox) == 2
    page = support.get(f"/admin/billing/dunningcourse/{course.pk}/change/").content.decode()
    assert "reminder 1 sent" in page
    assert "access until 2026-03-08, paused: on holiday" in page
    rows = support.get("/admin/billing/dunningcourse/?state__in=running,paused").content.decode()
    assert "14.99 USD" in rows
    assert "alice@" not in rows
    customer = support.get(f"/admin/keystore/consumer/{course.consumer_id}/change/")
    for said in ("Reminders of payments", "Customer reminded of the payment", "on holiday"):
        assert said in customer.content.decode()
    assert "Renewals overdue" in support.get("/admin/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("act", ["send_now", "pause", "resume", "skip"])
def test_whoever_only_reads_does_nothing_and_everybody_says_why(course, at, act):
    assert press(client_of("Read-only"), course, act).status_code == 403
    answer = press(client_of("Support"), course, act, reason="")
    assert "This field is required" in answer.content.decode()
    assert not course.steps.exists()


@pytest.mark.django_db
def test_the_overview_says_how_much_is_overdue_and_came_back(course):
    finance = client_of("Finance")
    assert "Overdue, USD" in finance.get("/admin/").content.decode()

    settle(course, "paid", paid_minor=1499)
    page = finance.get("/admin/", {"from": "2026-03-01", "to": "2026-03-03"}).content.decode()

    assert "Overdue, USD" not in page
    assert "Recovered, USD" in page


def text_form(**changes):
    form = {"subject": "Oh no, {name}", "body": "Pay {amount}:\n\n{link}", "reason": "our tone"}
    return {**form, "act": "save", **changes}


@pytest.mark.django_db
def test_an_own_text_is_previewed_saved_sent_and_taken_back(course, journal, at):
    operator = client_of("Operator")
    url = f"{TEXTS}?project={journal.pk}&kind=reminder&language=de"

    form = text_form(act="preview", reason="", body="<script>1</script>\r\n\r\n{link}")
    seen = operator.post(url, form).content.decode()
    assert "Oh no, Ada Lovelace" in seen
    assert '<iframe sandbox srcdoc="&lt;!DOCTYPE html&gt;\n&lt;html lang=&quot;de&quot;' in seen
    assert "&lt;p&gt;&amp;lt;script&amp;gt;1" in seen
    assert "<script>1" not in seen
    assert not DunningText.objects.exists()

    operator.post(url, text_form())
    assert DunningText.objects.get().subject == "Oh no, {name}"
    again = operator.get(url).content.decode()
    assert "This is the own text of Journal." in again
    operator.post(url, text_form(act="drop", reason="not so good"))
    assert not DunningText.objects.exists()
    assert [(one.act, one.reason) for one in AuditEntry.objects.order_by("pk")][-2:] == [
        ("dunning_text.save", "our tone"),
        ("dunning_text.drop", "not so good"),
    ]


@pytest.mark.django_db(transaction=True)
def test_a_test_goes_to_oneself_alone(journal, at):
    from django.contrib.auth.models import User

    operator = client_of("Operator")
    url = f"{TEXTS}?project={journal.pk}"
    nobody = operator.post(url, text_form(act="test")).content.decode()
    assert "Your account has no e-mail address" in nobody

    User.objects.update(email="op@example.com")
    operator.post(url, text_form(act="test"))

    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == (["op@example.com"], "Oh no, Ada Lovelace")
    assert not DunningText.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"body": "{link} {amonut}"}, "Use any of: {greeting}"),
        ({"body": "no link"}, "The body needs {link}"),
        ({"reason": ""}, "Say why."),
        ({"subject": ""}, "This field is required"),
    ],
)
def test_a_text_that_is_refused_is_shown_with_the_reason(journal, at, changes, says):
    answer = client_of("Operator").post(f"{TEXTS}?project={journal.pk}", text_form(**changes))

    assert says in answer.content.decode()
    assert not DunningText.objects.exists()


@pytest.mark.django_db
def test_support_reads_the_texts_and_changes_none(journal, at):
    support = client_of("Support")

    assert support.get(TEXTS).status_code == 200
    assert support.post(TEXTS, text_form()).status_code == 403


@pytest.mark.django_db
def test_a_policy_is_checked_kept_on_record_and_counts_at_once(course, journal, at):
    operator = client_of("Operator")
    form = {
        "project": journal.pk, "enabled": "on", "reminder_days": "0,1", "last_reminder_hours": "0",
        "tell_end": "on", "sender_name": "Journal", "language": "de", "link_days": "30",
    }  # fmt: skip
    url = "/admin/billing/dunningpolicy/add/"
    for wrong in ({"reminder_days": "0,-1"}, {"language": "xx"}, {"sender_name": "a\u202eb"}):
        assert operator.post(url, {**form, **wrong}).status_code == 200

    assert operator.post(url, form).status_code == 302

    row = DunningPolicy.objects.get()
    assert (row.reminder_days, row.language, row.tell_recovery) == ([0, 1], "de", False)
    assert AuditEntry.objects.get(act="dunningpolicy.add").after["link_days"] == 30
    assert DunningCourse.objects.get().next_at == NOON
