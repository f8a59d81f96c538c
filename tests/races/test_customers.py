"""One Stripe customer per consumer, also when a rival made it since we looked."""

from threading import Thread
from time import sleep

import pytest
from django.db import connection, transaction

from billing.customers import ensure_customer
from billing.models import StripeCustomer
from keystore.models import Consumer
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)
WAITERS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def wait_until_held_up(thread):
    """Until the thread waits for a lock of the database, or ends without."""
    with connection.cursor() as cursor:
        while thread.is_alive():
            cursor.execute(WAITERS)
            if cursor.fetchone()[0]:
                return
            sleep(0.005)


def test_a_customer_made_since_we_looked_is_taken(alice, stripe_world):
    found = []

    def ensure():
        found.append(ensure_customer(consumer=alice, actor="system", at=NOON))
        connection.close()

    late = Thread(target=ensure)
    with transaction.atomic():
        Consumer.objects.select_for_update(no_key=True).get(pk=alice.pk)
        late.start()
        wait_until_held_up(late)
        rivals = StripeCustomer.objects.create(
            project=alice.project, consumer=alice, stripe_customer_id="cus_of_the_rival"
        )
    late.join()

    assert found == [rivals]
    assert stripe_world.executions(route="POST /v1/customers") == 0
