"""Who only refers to a row waits for nobody who writes it, and a tie of two transactions is tried
again.
"""

from threading import Event

import pytest
from django.db import transaction

from keystore.locking import retried, upsert
from keystore.models import App, Consumer, Project
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def test_others_refer_to_a_row_while_it_is_written(journal):
    with transaction.atomic():
        row, is_new = upsert(Project, slug=journal.slug, defaults={"name": "Renamed"})
        assert (row, is_new) == (journal, False)
        made = at_once(lambda: App.objects.create(project=journal, name="meanwhile"), times=1)

    journal.refresh_from_db()
    assert (journal.name, made[0].project) == ("Renamed", journal)


def test_writers_of_one_row_still_wait_for_each_other(journal):
    seen = []

    def rename():
        with transaction.atomic():
            row, _ = upsert(Project, slug=journal.slug, defaults={"name": "x"})
            name = f"{Project.objects.get(pk=row.pk).name}{len(seen)}"
            Project.objects.filter(pk=row.pk).update(name=name)
            seen.append(name)

    at_once(rename, times=6)

    assert sorted(seen) == [f"x{number}" for number in range(6)]


def test_two_transactions_in_a_tie_both_end_well(alice, bob):
    orders = [[alice.pk, bob.pk], [bob.pk, alice.pk]]
    began = [Event(), Event()]
    tries = []

    def rename():
        order = orders.pop()
        mine = began[len(orders)]

        @transaction.atomic
        def act():
            tries.append(order)
            for pk in order:
                Consumer.objects.filter(pk=pk).update(name=f"renamed by {order}")
                mine.set()
                assert all(event.wait(10) for event in began)

        retried(act)

    at_once(rename, times=2)

    assert len(tries) == 3  # one of the two had to begin anew
    assert len(set(Consumer.objects.values_list("name", flat=True))) == 1


def test_within_a_transaction_a_tie_is_its_owners(alice, bob):
    """It is over as a whole: trying a part of it again would write without the rest."""
    from django.db import OperationalError
    from psycopg import errors as postgres

    calls = []

    def lose():
        calls.append(1)
        raise OperationalError from postgres.DeadlockDetected()

    with pytest.raises(OperationalError), transaction.atomic():
        retried(lose)
    assert len(calls) == 1
