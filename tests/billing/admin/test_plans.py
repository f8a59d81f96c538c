"""The page of a plan with its prices, which are there to look at."""

import re

import pytest

from tests.staff import client_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_plan_with_prices_is_saved_from_its_page(pro, pro_monthly):
    client, address = client_of("Operator"), f"/admin/entitlements/plan/{pro.pk}/change/"
    page = client.get(address).content.decode()
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
    given = pro.plan_features.get()

    answer = client.post(
        address,
        {
            **{name: value for name, value in fields.items() if "csrf" not in name},
            **{"name": "Pro now", "rank": "20", "public": "on", "issues_key": "on"},
            **{"plan_features-0-feature": str(given.feature_id), "_save": "Save"},
            **{"plan_features-0-reset": given.reset, "plan_features-0-enforcement": "hard"},
        },
    )

    assert "14.99 USD" in page
    assert answer.status_code == 302
    pro.refresh_from_db()
    assert pro.name == "Pro now"
