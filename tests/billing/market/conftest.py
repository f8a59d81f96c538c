"""A creator of journal, their listed API, and who buys it."""

import pytest

from tests.billing.conftest import sell
from tests.conftest import NOON


@pytest.fixture
def wendy(journal):
    """The consumer who sells the weather API."""
    return journal.consumers.create(external_id="wendy", email="wendy@example.com")


@pytest.fixture
def creator(journal, wendy):
    from billing.models import Creator

    return Creator.objects.create(project=journal, consumer=wendy, country="US", currency="usd")


@pytest.fixture
def weather(journal, creator):
    """The creator's API, in the marketplace."""
    from billing.models import ApiListing

    api = journal.apis.create(code="weather", name="Weather")
    ApiListing.objects.create(api=api, creator=creator, published_at=NOON, created_at=NOON)
    return api


@pytest.fixture
def weather_plan(journal, weather):
    return journal.plans.create(code="weather-pro", name="Weather Pro", api=weather)


@pytest.fixture
def weather_once(weather_plan, stripe_world):
    """10.00 USD, once."""
    return sell(weather_plan, stripe_world, amount_minor=1000, interval="")


@pytest.fixture
def weather_monthly(weather_plan, stripe_world):
    """10.00 USD a month."""
    return sell(weather_plan, stripe_world, amount_minor=1000)


@pytest.fixture
def fifth(journal):
    """The platform keeps 20 %."""
    from billing.models import Commission

    return Commission.objects.create(
        project=journal, basis_points=2000, effective_from=NOON, set_by="system"
    )


@pytest.fixture
def earned(creator):
    """Puts an amount on the creator's balance by hand."""
    from billing.models import Earning

    def earn(amount_minor, currency="usd", at=NOON):
        return Earning.objects.create(
            project=creator.project,
            creator=creator,
            kind="adjustment",
            currency=currency,
            amount_minor=amount_minor,
            source=f"test:{Earning.objects.count()}",
            reason="for the test",
            occurred_at=at,
        )

    return earn
