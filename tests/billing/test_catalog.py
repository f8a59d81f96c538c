"""File, tables and Stripe are brought to say the same."""

import pytest

from billing import catalog, gateway
from billing.catalog_file import parse_catalog
from billing.models import Price
from entitlements.models import Plan
from keystore.models import Project
from tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)

FILE = """
projects:
  journal:
    name: Journal
    allowed_origins: [https://app.example.com]
    features:
      pro: {name: Pro tools}
      tokens: {kind: limit}
    plans:
      pro:
        name: Pro
        rank: 20
        limit_per_minute: 600
        features: {pro: true, tokens: 1000}
        prices:
          - {amount_minor: 1499, currency: usd, interval: month}
      credits:
        issues_key: false
        features: {tokens: unlimited}
        prices:
          - {amount_minor: 500, currency: usd}
"""


def read(text=FILE, **variables):
    return parse_catalog(text, variables=variables)[0]


def push(text=FILE, **variables):
    return catalog.push(project=read(text, **variables), actor="system", clock=lambda: NOON).changes


def test_push_fills_the_tables_and_stripe(stripe_world):
    push()

    price = Price.objects.get(plan__code="pro")
    found = gateway.read(f"/v1/prices/{price.stripe_price_id}")
    assert (price.amount_minor, price.currency, price.interval) == (1499, "usd", "month")
    assert (found["unit_amount"], found["lookup_key"]) == (1499, "journal_pro_month_usd")
    assert found["metadata"]["latchkey_project"] == "journal"
    assert found["metadata"]["latchkey_plan"] == "pro"
    assert found["metadata"]["feature_code"] == "pro,tokens"
    assert found["metadata"]["project_id"] == str(Project.objects.get().pk)


def test_nothing_differs_after_a_push(stripe_world):
    assert catalog.diff(project=read()) != []

    push()

    assert catalog.diff(project=read()) == []


def test_a_second_push_writes_nothing_to_stripe(stripe_world):
    push()
    before = stripe_world.counters.snapshot()["operations"]

    assert push() == []
    assert stripe_world.counters.snapshot()["operations"] == before
