"""Eight at once on real connections: a sale has one key, and its text is told once."""

from contextlib import suppress

import pytest

from billing.locks import CustomerBusy
from billing.models import Subscription
from billing.sync import sync_customer
from entitlements.models import Grant
from keystore.handover import claim_key
from keystore.models import ApiKey, AuditEntry, Environment, KeyClaim
from keystore.services import provision_key
from tests.conftest import NOON
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def provision(consumer):
    return provision_key(
        consumer=consumer,
        slot="sub_1:default",
        environment=Environment.TEST,
        limit_per_minute=600,
        expires_at=None,
        metadata={},
        at=NOON,
    )


def test_eight_syncs_of_one_customer_make_one_key_and_one_grant(customer, subscription, clock):
    def sync():
        with suppress(CustomerBusy):  # on a slow machine the last in line is sent away
            sync_customer(stripe_customer_id=customer.stripe_customer_id, clock=clock)

    at_once(sync)

    key = ApiKey.objects.get()
    assert key.provisioned_for == f"{subscription['id']}:default"
    assert (Grant.objects.count(), KeyClaim.objects.count()) == (1, 1)
    assert Subscription.objects.get().status == "active"
    assert AuditEntry.objects.filter(act="key.provision").count() == 1


def test_eight_provisions_of_one_slot_find_one_key(alice):
    found = at_once(lambda: provision(alice))

    assert {key.pk for key in found} == {ApiKey.objects.get().pk}
    assert KeyClaim.objects.count() == 1


def test_of_eight_claims_one_gets_the_text(alice):
    key = provision(alice)

    told = at_once(lambda: claim_key(key=key, at=NOON))

    assert sum(text is not None for text in told) == 1
    assert bytes(KeyClaim.objects.get().sealed) == b""
    assert AuditEntry.objects.filter(act="key.claim").count() == 1
