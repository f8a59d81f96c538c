"""The first page, the badge, and what each role finds in the navigation."""

import pytest

from tests.billing.admin.conftest import an_event
from tests.staff import client_of


def test_first_page_counts_what_waits(support, parked, given):
    an_event("evt_fresh", state="pending")

    counts = {one["title"]: one for one in support.get("/admin/").context["counts"]}

    assert counts["Events parked"]["number"] == 1
    assert counts["Events parked"]["alarming"]
    assert counts["Events waiting"]["number"] == 1
    assert counts["Grants that end within a week"]["number"] == 0


def test_every_count_leads_to_its_rows(superuser, parked):
    for count in superuser.get("/admin/").context["counts"]:
        assert superuser.get(count["link"]).status_code == 200


def test_staff_without_permissions_sees_no_counts(db):
    assert client_of("none").get("/admin/").context["counts"] == []


@pytest.mark.parametrize(
    ("sandbox", "live", "badge"),
    [
        (True, False, "SANDBOX"),
        (False, False, "TEST"),
        (False, True, "LIVE"),
    ],
)
def test_badge_says_whose_money_it_is(support, settings, sandbox, live, badge):
    settings.STRIPE_USES_SANDBOX = sandbox
    settings.STRIPE_LIVE_MODE = live

    assert support.get("/admin/").context["environment"][0] == badge


def test_stranger_is_sent_to_the_login(client, db):
    answer = client.get("/admin/keystore/consumer/")

    assert (answer.status_code, answer.url) == (
        302,
        "/admin/login/?next=/admin/keystore/consumer/",
    )
