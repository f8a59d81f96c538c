"""The first page's figures and charts."""

import json
from datetime import timedelta

import pytest

from config.clock import now
from tests.staff import client_of


def business(client, query=""):
    return client.get(f"/admin/{query}").context["business"]


def figure(client, title, query=""):
    return {one.title: one for one in business(client, query).figures}[title]


@pytest.fixture
def paid(alice, db):
    """A subscription of alice that began yesterday, and its payment of 14.99 USD."""
    from billing.models import Payment, Subscription

    at = now() - timedelta(days=1)
    common = {"project": alice.project, "consumer": alice, "synced_at": at, "currency": "usd"}
    Subscription.objects.create(
        stripe_subscription_id="sub_1", status="active", mrr_minor=1499, started_at=at, **common
    )
    return Payment.objects.create(
        stripe_charge_id="ch_1", status="succeeded", captured_minor=1499, created_at=at, **common
    )


def test_figures_are_told_in_peoples_money(support, paid):
    assert figure(support, "Active subscriptions").lines == ["1"]
    assert figure(support, "MRR").lines == ["14.99 USD"]
    assert figure(support, "Net revenue, USD").lines == ["14.99 USD"]
    assert figure(support, "New subscriptions").lines == ["1"]


def test_every_figure_leads_to_the_rows_it_counts(superuser, paid):
    for one in business(superuser).figures:
        page = superuser.get(one.link)
        assert page.status_code == 200, one.link
        expected = 0 if one.title in ("Lost subscriptions", "Churn") else 1
        assert len(page.context["cl"].result_list) == expected, one.title


def test_range_leaves_out_what_lies_before_it(support, paid):
    today = now().date()

    assert figure(support, "New subscriptions", f"?from={today}&to={today}").lines == ["0"]


def test_another_projects_figures_are_not_counted(support, paid, orbit):
    assert figure(support, "Active subscriptions", f"?project={orbit.pk}").lines == ["0"]


@pytest.mark.parametrize(
    "query",
    [
        "?days=12",
        "?days=x",
        "?from=2026-13-40",
        "?from=9999-12-31&to=9999-12-31",
        "?from=0001-01-01&to=2026-01-01",
        "?from=2026-03-02&to=2026-03-01",
        "?from=2000-01-01&to=2026-01-01",
        "?project=x",
        "?project=999999",
    ],
)
def test_odd_range_or_project_shows_the_usual_month(support, query):
    days = business(support, query).days

    assert (days.last - days.first).days == 29


def test_chart_says_in_a_table_what_it_draws(support, paid):
    chart = business(support).charts[1]

    drawn = json.loads(chart.data)
    assert chart.title == "New and lost subscriptions"
    assert len(drawn["labels"]) == len(chart.rows) == 30
    assert sum(drawn["datasets"][0]["data"]) == 1
    assert chart.rows[-2][1] == "1"


def test_staff_without_permissions_sees_no_figures(paid):
    client = client_of("none")

    assert business(client).figures == []
    assert b"14.99" not in client.get("/admin/").content
