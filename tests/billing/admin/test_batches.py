"""Many grants at once in the admin: upload, preview, selection, report, who may."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from config.clock import now
from entitlements.batches import give_due
from entitlements.models import Grant, GrantBatch
from keystore.models import AuditEntry
from tests.billing.admin.conftest import say
from tests.staff import client_of

LIST = "/admin/entitlements/grantbatch/"
NEW = f"{LIST}new/"
HEADING = "consumer,plan,feature,limit,config,ends,reason\n"
GOOD = "alice,pro,,,,2099-01-01,\n"
BAD = '"=cmd|calc",pro,,,,2099-01-01,\n'


def upload(client, project, text, **more):
    file = SimpleUploadedFile("list.csv", (HEADING + text).encode())
    return client.post(NEW, say(project=project.pk, file=file, **more))


def act(client, batch, what, **more):
    return client.post(f"{LIST}{batch.pk}/act/", {"act": what, **more}, follow=True)


def shown(client, batch, **query):
    return client.get(f"{LIST}{batch.pk}/change/", query).content.decode()


def test_upload_leads_to_a_preview_that_tells_what_is_wrong(operator, journal, alice, pro):
    answer = upload(operator, journal, GOOD + BAD, ticket="T-7")

    batch = GrantBatch.objects.get()
    assert answer.headers["Location"] == f"{LIST}{batch.pk}/change/"
    page = shown(operator, batch)
    assert "1 of 2 lines can be given, 1 cannot." in page
    assert "as a formula of a spreadsheet does" in page
    assert (batch.ticket, Grant.objects.count()) == ("T-7", 0)


def test_pasted_lines_are_read_too(operator, journal, alice, pro):
    operator.post(NEW, say(project=journal.pk, pasted=HEADING + GOOD))

    assert GrantBatch.objects.get().lines.get().consumer == alice


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "Choose a file or paste lines"),
        ({"pasted": "who,what\na,b"}, "columns that are not known"),
        ({"pasted": HEADING + GOOD, "deed_reason": " "}, "This field is required."),
    ],
)
def test_unreadable_upload_is_told_on_the_page(operator, journal, asked, said):
    page = operator.post(NEW, {**say(project=journal.pk), **asked}).content.decode()

    assert said in page
    assert GrantBatch.objects.count() == 0


def test_start_is_refused_while_bad_lines_remain(operator, journal, alice, pro):
    upload(operator, journal, GOOD + BAD)
    batch = GrantBatch.objects.get()

    page = act(operator, batch, "start").content.decode()
    assert "1 lines are bad" in page

    page = act(operator, batch, "start", good_ones_only="on").content.decode()
    assert 'http-equiv="refresh"' in page
    assert give_due(clock=now) == 1
    assert "1 of 1 grants given, 0 failed." in shown(operator, batch)


def test_running_batch_is_stopped_and_a_preview_put_aside(operator, journal, alice, pro):
    for number in (1, 2):
        upload(operator, journal, GOOD, ticket=str(number))
    first, second = GrantBatch.objects.order_by("pk")
    act(operator, first, "start")

    assert "Stopped with 1 left." in act(operator, first, "stop").content.decode()
    assert "Put aside: nothing was given." in act(operator, second, "discard").content.decode()
    assert give_due(clock=now) == 0


def test_report_is_safe_to_open(operator, journal, alice, pro):
    upload(operator, journal, GOOD + BAD)

    answer = operator.get(f"{LIST}{GrantBatch.objects.get().pk}/report/")
    lines = b"".join(answer.streaming_content).decode().splitlines()

    assert lines[0] == "line,consumer,plan,feature,limit,config,ends,reason,state,problem,grant"
    assert lines[2].startswith("3,'=cmd|calc,pro,")


def test_e_mail_is_hidden_from_whoever_may_not_see_it(operator, reader, journal, alice, pro):
    upload(operator, journal, "alice@example.com,pro,,,,2099-01-01,\n")
    batch = GrantBatch.objects.get()

    assert "alice@example.com" in shown(operator, batch)
    assert "alice@example.com" not in shown(reader, batch)
    report = reader.get(f"{LIST}{batch.pk}/report/")
    assert b"alice@" not in b"".join(report.streaming_content)


def test_list_of_a_colleague_is_masked_like_every_list(operator, journal, alice, pro):
    upload(operator, journal, "alice@example.com,pro,,,,2099-01-01,\n")
    batch, colleague = GrantBatch.objects.get(), client_of("superuser")

    assert "alice@example.com" not in shown(colleague, batch)
    report = colleague.get(f"{LIST}{batch.pk}/report/")
    assert b"alice@" not in b"".join(report.streaming_content)


def test_selection_leads_to_a_preview(operator, alice, bob, pro):
    chosen = {"action": "give_to_selected", "_selected_action": [alice.pk, bob.pk]}
    address = "/admin/keystore/consumer/"
    page = operator.post(address, chosen).content.decode()
    assert "Give a grant to 2 consumers" in page

    wish = say(what=f"plan:{pro.pk}", until="2099-05-01T12:00", ticket="")
    operator.post(address, {**chosen, **wish}, follow=True)

    batch = GrantBatch.objects.get()
    assert [line.consumer for line in batch.lines.order_by("number")] == [alice, bob]
    assert Grant.objects.count() == 0


def test_selection_of_two_projects_is_refused(operator, alice, mallory, pro):
    chosen = {"action": "give_to_selected", "_selected_action": [alice.pk, mallory.pk]}

    page = operator.post("/admin/keystore/consumer/", chosen, follow=True).content.decode()

    assert "consumers of several projects" in page


@pytest.mark.parametrize("role", ["Support", "Finance", "Read-only", "none"])
def test_many_grants_belong_to_operators(operator, journal, alice, pro, role):
    upload(operator, journal, GOOD)
    batch = GrantBatch.objects.get()
    client, before = client_of(role), AuditEntry.objects.count()

    statuses = {
        upload(client, journal, GOOD).status_code,
        client.get(NEW).status_code,
        *(act(client, batch, what).status_code for what in ("start", "stop", "discard")),
    }
    chosen = {"action": "give_to_selected", "_selected_action": [alice.pk]}
    client.post("/admin/keystore/consumer/", {**chosen, **say(what=f"plan:{pro.pk}")})

    batch.refresh_from_db()
    assert statuses == {403}
    assert (GrantBatch.objects.count(), batch.state) == (1, "preview")
    assert AuditEntry.objects.count() == before


def test_nothing_is_done_by_looking(operator, journal, alice, pro):
    upload(operator, journal, GOOD)
    batch = GrantBatch.objects.get()

    assert operator.get(f"{LIST}{batch.pk}/act/").status_code == 405
    assert operator.get(f"{LIST}{batch.pk}/change/", {"page": "x", "lines": "'"}).status_code == 200
    assert operator.get(f"{LIST}999999/change/").status_code == 404
