"""The demo's creator has sold something, once."""

import pytest

from billing.demo_market import open_market
from billing.models import Earning

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_demos_creator_earns_once(journal, clock):
    open_market(project=journal, clock=clock)
    open_market(project=journal, clock=clock)

    assert [line.amount_minor for line in Earning.objects.all()] == [1520, 1520]
