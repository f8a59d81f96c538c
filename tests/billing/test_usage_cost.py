"""What usage costs, by the terms of a price."""

from decimal import Decimal

import pytest

from billing.catalog_spec import Tier, UsageTerms
from billing.usage_cost import cost_minor

TIERS = (Tier(1000, "0", "0"), Tier(2000, "0.5", "100"), Tier(None, "0.1", "0"))


@pytest.mark.parametrize(
    ("terms", "used", "cost"),
    [
        (UsageTerms("m", "0.05"), "30", 2),  # 1.5, half up
        (UsageTerms("m", "0.05"), "-3", 0),
        (UsageTerms("m", "200", divide_by=1000), "1001", 400),
        (UsageTerms("m", "200", divide_by=1000, round="down"), "1999", 200),
        (UsageTerms("m", tiers_mode="graduated", tiers=TIERS), "1000", 0),
        (UsageTerms("m", tiers_mode="graduated", tiers=TIERS), "1500", 350),
        (UsageTerms("m", tiers_mode="graduated", tiers=TIERS), "3000", 700),
        (UsageTerms("m", tiers_mode="volume", tiers=TIERS), "1500", 850),
        (UsageTerms("m", tiers_mode="volume", tiers=TIERS), "3000", 300),
    ],
)
def test_cost_by_terms(terms, used, cost):
    assert cost_minor(terms, Decimal(used)) == cost
