"""The list of consumers says of each which plan it has and how much is used."""

import pytest

from tests.billing.ownpages.conftest import Used
from tests.billing.ownpages.test_pages import subscription_of
from tests.metering.quota_cast import give, metered, sell

pytestmark = pytest.mark.django_db
LIST = "/admin/keystore/consumer/"


def rows_of(page):
    return {
        row.external_id: (row.plan_told, row.usage_told) for row in page.context["cl"].result_list
    }


def test_each_consumer_is_told_with_plan_status_and_fullest_limit(support, alice, bob, pro):
    subscription_of(alice, pro, status="past_due")
    for code in ("calls", "pages"):
        give(alice, plan=sell(alice.project, code, limit=100, reset="never"))
    calls = metered(alice.project, "calls", name="Calls")
    Used(alice, calls)(83)

    page = support.get(LIST)

    assert rows_of(page) == {"alice": ("Pro (past_due)", "Calls 83 %"), "bob": ("", "")}
    for part in ("Pro (past_due)", "Calls 83 %"):
        assert part in page.content.decode()


def test_the_list_asks_no_more_for_more_consumers(
    support, journal, pro, django_assert_max_num_queries
):
    for number in range(20):
        journal.consumers.create(external_id=f"user{number}")

    with django_assert_max_num_queries(20):
        support.get(LIST)
