"""Many grants at once: what is read, what is refused, and that each line is given once."""

import csv
import subprocess
import sys
import time
from datetime import timedelta
from itertools import count

import pytest
from django.db import connection

from config.clock import now
from entitlements.batch_file import MOST_LINES, UnreadableFile, read_lines, safe_cell
from entitlements.batches import (
    LEASE,
    BatchNotReady,
    discard_batch,
    give_due,
    progress_of,
    read_batch,
    start_batch,
    stop_batch,
)
from entitlements.models import Grant, GrantBatch, LineState
from entitlements.services import give_grant
from keystore.models import AuditEntry
from tests.conftest import NOON
from tests.entitlements.deeds import DAY, revoke, subscribe
from tests.together import at_once

HEADING = "consumer,plan,feature,limit,config,ends,reason\n"


def read(project, text, *, endless=False, with_email=True, at=NOON):
    data = text if isinstance(text, bytes) else (HEADING + text).encode()
    return read_batch(
        project=project,
        lines=read_lines(data),
        reason="an outage",
        ticket="T-1",
        actor="staff:sam",
        may_be_endless=endless,
        with_email=with_email,
        at=at,
    )


def start(batch, *, good_ones_only=False, endless=False):
    start_batch(
        batch=batch,
        good_ones_only=good_ones_only,
        may_be_endless=endless,
        actor="staff:sam",
        at=NOON,
    )


def work(at=NOON, **more):
    return give_due(clock=lambda: at, **more)


def problem(batch):
    line = batch.lines.get()
    assert line.state == LineState.BAD
    return line.problem


def test_ready_lines_become_grants_with_reason_ticket_and_end(journal, alice, bob, pro, exports):
    batch = read(journal, "alice,pro,,,,2026-03-31,\nbob,,exports,500,,2026-03-31T12:00,a pilot\n")
    start(batch)

    assert work() == 2

    first, second = Grant.objects.order_by("pk")
    assert (first.plan, first.valid_to, first.reason) == (pro, NOON + 30.5 * DAY, "an outage")
    assert (second.limit, second.valid_to, second.reason) == (500, NOON + 30 * DAY, "a pilot")
    assert {first.ticket, second.ticket} == {"T-1"}
    batch.refresh_from_db()
    assert (batch.state, batch.finished_at) == ("done", NOON)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nobody,pro,,,,2026-04-01,", "no such consumer"),
        (",pro,,,,2026-04-01,", "names no consumer"),
        ("alice,gold,,,,2026-04-01,", "no plan 'gold': there are pro"),
        ("alice,,gold,,,2026-04-01,", "no feature 'gold'"),
        ("alice,pro,export,,,2026-04-01,", "either a plan or a feature"),
        ("alice,,,,,2026-04-01,", "either a plan or a feature"),
        ("alice,pro,,,,2026-02-27,", "has passed"),
        ("alice,pro,,,,,", "no end, and you may not"),
        ("alice,pro,,,,31.12.2026,", "is no day"),
        ("alice,pro,,,,9999-12-31,", "is no day"),
        ("alice,pro,,5,,2026-04-01,", "Only a feature of kind limit"),
        ("alice,,exports,,,2026-04-01,", "needs a limit"),
        ("alice,,exports,many,,2026-04-01,", "'many' is not a number"),
        ("alice,,exports,-5,,2026-04-01,", "'-5' is not a number"),
        ("alice,,exports,1e3,,2026-04-01,", "'1e3' is not a number"),
        ("alice,,exports,99999999999999999999,,2026-04-01,", "is not a number"),
        ("alice,,theme,,,2026-04-01,", "needs a config value"),
        ("alice,,theme,,{dark,2026-04-01,", "is no JSON"),
        ("alice,,theme,,NaN,2026-04-01,", "is no JSON"),
        ('"=HYPERLINK(""x"")",pro,,,,2026-04-01,', "begins with '='"),
        ("@sum,pro,,,,2026-04-01,", "begins with '@'"),
        ("alice,pro,,,,2026-04-01,=1+1", "reason begins with '='"),
        ("alice,pro,,,,2026-04-01,x,y", "8 cells, the heading 7"),
        ("alice,pro,,,,2026-04-01,a\0b", "not UTF-8"),
        ("mallory,pro,,,,2026-04-01,", "no such consumer"),
    ],
)
def test_bad_line_says_why(journal, alice, mallory, pro, theme, line, said):
    assert said in problem(read(journal, line + "\n"))


def test_broken_encoding_spoils_its_line_alone(journal, alice, bob, pro):
    data = (HEADING + "alice,pro,,,,2026-04-01,caf\n").encode().replace(b"caf", b"caf\xe9")
    batch = read(journal, data + b"bob,pro,,,,2026-04-01,caf\xc3\xa9\n")

    assert [line.state for line in batch.lines.order_by("number")] == ["bad", "ready"]


def test_second_line_of_the_same_is_bad(journal, alice, pro, exports):
    batch = read(
        journal,
        "alice,pro,,,,2026-04-01,\nalice,,exports,5,,2026-04-01,\n"
        f"{alice.public_id},pro,,,,2026-05-01,\n",
    )

    assert batch.lines.get(state="bad").problem == "Line 2 gives this consumer the same."


def test_e_mail_names_a_consumer_to_whom_may_see_it(journal, alice, pro):
    line = "alice@example.com,pro,,,,2026-04-01,\n"

    assert read(journal, line).lines.get().consumer == alice
    assert "no such consumer" in problem(read(journal, line, with_email=False))


def test_e_mail_of_two_names_nobody(journal, alice, pro):
    journal.consumers.create(external_id="alice2", email=alice.email)

    assert "2 consumers have this e-mail" in problem(
        read(journal, "alice@example.com,pro,,,,2026-04-01,\n")
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "nothing in it"),
        (HEADING.encode(), "no lines below"),
        (b"consumer,plan,colour\nalice,pro,red\n", "not known: colour"),
        (b"plan,ends\npro,2026-04-01\n", "needs the column consumer"),
        (b"consumer,plan,plan\na,b,c\n", "named twice"),
        ("consumer,plan\na,b\n".encode("utf-16"), "UTF-16"),
        (b'consumer,plan\n"a,b\n', "quotes closed"),
        (b"consumer,plan\n" + b"a,b\n" * (MOST_LINES + 1), "at most 10,000"),
        (b"consumer,plan\n" + b"a" * 5_000_001, "larger than 5 MB"),
    ],
)
def test_file_that_cannot_be_read_says_why(data, said):
    with pytest.raises(UnreadableFile, match=said):
        read_lines(data)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_byte_order_mark_and_quotes_are_taken_as_they_come(delimiter):
    text = delimiter.join(["Consumer", "PLAN"]) + "\r\n\r\n" + delimiter.join(['"a, b"', "pro"])

    line = read_lines(b"\xef\xbb\xbf" + text.encode())[0]

    assert (line.number, line.cells["consumer"], line.cells["plan"]) == (3, "a, b", "pro")


def test_nothing_is_given_while_bad_lines_remain(journal, alice, pro):
    batch = read(journal, "alice,pro,,,,2026-04-01,\nnobody,pro,,,,2026-04-01,\n")

    with pytest.raises(BatchNotReady, match="1 lines are bad"):
        start(batch)
    assert (work(), Grant.objects.count()) == (0, 0)

    start(batch, good_ones_only=True)
    assert (work(), Grant.objects.count()) == (1, 1)


def test_start_needs_the_right_that_the_lines_need(journal, alice, pro):
    batch = read(journal, "alice,pro,,,,,\n", endless=True)

    with pytest.raises(BatchNotReady, match="no end"):
        start(batch)
    start(batch, endless=True)


@pytest.mark.parametrize("state", ["running", "done", "discarded"])
def test_only_a_preview_or_a_stopped_batch_starts(journal, alice, pro, state):
    batch = read(journal, "alice,pro,,,,2026-04-01,\n")
    GrantBatch.objects.update(state=state)

    with pytest.raises(BatchNotReady, match=f"is {state}"):
        start(batch)


def test_end_that_passed_since_the_preview_fails_its_line_alone(journal, alice, bob, pro):
    batch = read(journal, "alice,pro,,,,2026-03-02T12:00,\nbob,pro,,,,2026-04-01,\n")
    start(batch)

    work(NOON + 2 * DAY)

    progress = progress_of(batch=batch)
    assert (progress.failed, progress.done) == (1, 1)
    assert "later than the start" in batch.lines.get(state="failed").problem


def test_stopped_batch_gives_no_more_and_goes_on(journal, alice, pro):
    batch = read(journal, "alice,pro,,,,2026-04-01,\n")
    start(batch)

    assert stop_batch(batch=batch, actor="staff:kim", at=NOON) is True
    assert (work(), Grant.objects.count()) == (0, 0)

    start(batch)
    assert (work(), Grant.objects.count()) == (1, 1)
    assert stop_batch(batch=batch, actor="staff:kim", at=NOON) is False


def test_discarded_preview_is_never_given(journal, alice, pro):
    batch = read(journal, "alice,pro,,,,2026-04-01,\n")

    assert discard_batch(batch=batch, actor="staff:sam", at=NOON) is True
    assert discard_batch(batch=batch, actor="staff:sam", at=NOON) is False
    assert work() == 0


def test_acts_on_a_batch_are_on_record_and_so_is_each_grant(journal, alice, bob, pro):
    batch = read(journal, "alice,pro,,,,2026-04-01,\nbob,pro,,,,2026-04-01,\n")
    start(batch)
    work()

    entries = AuditEntry.objects.order_by("pk").values_list("act", "actor")
    assert list(entries) == [
        (act, "staff:sam")
        for act in (
            "grant_batch.read",
            "grant_batch.start",
            "grant.give",
            "grant.give",
            "grant_batch.finish",
        )
    ]


def test_other_worker_waits_for_the_lease(journal, alice, pro):
    start(read(journal, "alice,pro,,,,2026-04-01,\n"))
    GrantBatch.objects.update(lease_until=NOON + LEASE)

    assert work() == 0
    assert work(NOON + LEASE) == 1


def test_batch_ends_its_round_in_time_and_goes_on_in_the_next(journal, alice, pro):
    batch = read(journal, "alice,pro,,,,2026-04-01,\n")
    start(batch)

    assert work(seconds=0) == 0
    assert work() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_workers_give_each_line_once(journal, pro):
    people = [journal.consumers.create(external_id=f"c{n}") for n in range(12)]
    batch = read(journal, "".join(f"{one.external_id},pro,,,,2026-04-01,\n" for one in people))
    start(batch)
    instants = count()

    # Each looks an hour later than the one before it, so that no lease holds them apart.
    at_once(lambda: give_due(clock=lambda: NOON + timedelta(hours=next(instants))))

    assert sorted(Grant.objects.values_list("consumer_id", flat=True)) == [p.pk for p in people]
    assert progress_of(batch=batch).done == 12


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_report_holds_no_formula(text):
    assert safe_cell(text) == "'" + text


def test_report_can_be_read_back():
    assert next(csv.reader([f'"{safe_cell("=a,b")}"'])) == ["'=a,b"]


def test_batch_gives_again_what_was_taken_away(journal, alice, pro, export):
    subscribe(alice, pro)
    revoke(alice, export)
    batch = read(journal, "alice,,export,,,2026-04-01,\n")
    start(batch)

    assert work() == 1


def test_line_is_not_given_twice_after_a_crash_between_its_steps(journal, alice, pro):
    """As if the mark on the line were lost: the key of the line finds the first grant."""
    batch = read(journal, "alice,pro,,,,2026-04-01,\n")
    start(batch)
    number = batch.lines.get().number
    give_grant(
        consumer=alice,
        plan=pro,
        valid_from=None,
        valid_to=NOON + 31.5 * DAY,
        reason="an outage",
        ticket="T-1",
        granted_by="staff:sam",
        idempotency_key=f"{batch.public_id}:{number}",
        actor="staff:sam",
        at=NOON,
    )

    assert work() == 1
    assert Grant.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_killed_worker_leaves_lines_that_the_next_one_gives_once(journal, pro):
    people = [journal.consumers.create(external_id=f"c{n}") for n in range(80)]
    lines = "".join(f"{one.external_id},pro,,,,2099-04-01,\n" for one in people)
    batch = read(journal, lines, at=now())
    start(batch)
    worker = a_worker()
    while progress_of(batch=batch).done < 5:
        assert worker.poll() is None
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    left = progress_of(batch=batch).ready
    assert 0 < left < 80

    assert give_due(clock=now) == 0  # the dead one's lease still runs
    assert give_due(clock=lambda: now() + LEASE, seconds=120) == left

    assert Grant.objects.values("consumer").distinct().count() == Grant.objects.count() == 80
    assert AuditEntry.objects.filter(act="grant.give").count() == 80


def a_worker():
    """Another process that gives the batch."""
    at = connection.settings_dict  # HOST is the directory of a socket
    url = f"postgres://{at['USER']}@/{at['HOST']}/{at['NAME']}"
    command = [sys.executable, "-m", "tests.entitlements.giver", url]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)
