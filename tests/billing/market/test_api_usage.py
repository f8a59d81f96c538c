"""What an API of the marketplace was used: in all, and by day, plan, consumer and dimension."""

from datetime import timedelta

import pytest

from billing.models import Subscription
from metering.models import Meter
from metering.rollup import roll_up
from tests.conftest import NOON
from tests.keystore.tokens_cast import accept_tokens, user_client
from tests.metering.usage import use

# The roll-up looks at what other transactions have committed.
pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)
PATH = "/api/v1/apis/weather/usage?from=2026-02-25&to=2026-03-05"


@pytest.fixture
def meters(journal):
    """One of each kind; calls are told apart by region."""
    return {
        kind: Meter.objects.create(
            project=journal,
            code=kind,
            aggregation=kind,
            dimensions=["region"],
            value_property="name" if kind == "unique" else "",
        )
        for kind in ("sum", "count", "max", "latest", "unique")
    }


@pytest.fixture
def used(meters, weather, alice, bob):
    """Alice yesterday and today, bob today; a fourth time outside of the API."""
    told = [
        (alice, NOON - DAY, "eu", 5, "x", weather),
        (alice, NOON, "us", 3, "x", weather),
        (bob, NOON, "eu", 4, "y", weather),
        (bob, NOON, "eu", 99, "z", None),
    ]
    for meter in meters.values():
        for number, (consumer, at, region, quantity, value, api) in enumerate(told):
            event = use(
                meter,
                consumer,
                f"{meter.code}-{number}",
                1 if meter.code == "count" else quantity,
                value=value if meter.code == "unique" else "",
                at=at,
                properties=f'{{"region": "{region}", "name": "{value}"}}',
            )
            type(event).objects.filter(pk=event.pk).update(api=api)


def lines(api, **asked):
    query = "".join(f"&{name}={value}" for name, value in asked.items())
    answer = api.get(PATH + query)
    assert answer.status_code == 200, answer.json()
    found: dict[str, dict[str, float]] = {}
    for row in answer.json()["data"]:
        found.setdefault(row["meter"], {})[row["group"]] = float(row["quantity"])
    totals = {row["meter"]: float(row["quantity"]) for row in answer.json()["totals"]}
    return found, totals


@pytest.fixture(params=["as it came in", "rolled up"])
def told(request, used):
    if request.param == "rolled up":
        roll_up(clock=lambda: NOON + timedelta(hours=2))


TOTALS = {"sum": 12, "count": 3, "max": 5, "latest": 4, "unique": 2}


def test_days_and_totals(api, told):
    found, totals = lines(api, breakdown="day")

    assert totals == TOTALS
    assert found == {
        "sum": {"2026-02-28": 5, "2026-03-01": 7},
        "count": {"2026-02-28": 1, "2026-03-01": 2},
        "max": {"2026-02-28": 5, "2026-03-01": 4},
        "latest": {"2026-02-28": 5, "2026-03-01": 4},
        "unique": {"2026-02-28": 1, "2026-03-01": 2},
    }


def test_values_of_a_dimension(api, told):
    found, totals = lines(api, dimension="region")

    assert totals == TOTALS
    assert found == {
        "sum": {"eu": 9, "us": 3},
        "count": {"eu": 2, "us": 1},
        "max": {"eu": 5, "us": 3},
        "latest": {"eu": 4, "us": 3},
        "unique": {"eu": 2, "us": 1},
    }


def test_consumers_by_our_ids_alone(api, told, alice, bob):
    found, _ = lines(api, breakdown="consumer", meter="sum")

    assert found == {"sum": {alice.public_id: 8, bob.public_id: 4}}


def test_plans(api, told, alice, weather_plan):
    Subscription.objects.create(
        project=alice.project,
        consumer=alice,
        plan=weather_plan,
        stripe_subscription_id="sub_1",
        status="active",
        currency="usd",
        started_at=NOON - 2 * DAY,
        synced_at=NOON,
    )

    found, _ = lines(api, breakdown="plan", meter="sum")

    assert found == {"sum": {"weather-pro": 8, "": 4}}


def test_a_meter_without_the_dimension_is_left_out(api, told):
    Meter.objects.filter(code="sum").update(dimensions=["model"])

    found, _ = lines(api, dimension="model")

    assert set(found) == {"sum"}


def test_the_same_as_a_spreadsheet(api, told):
    rows = api.get(f"{PATH}&dimension=region&meter=sum", headers={"Accept": "text/csv"})

    assert b"".join(rows).decode().splitlines() == [
        "meter,unit,group,quantity",
        "sum,,eu,9",
        "sum,,us,3",
    ]


def test_a_creator_asks_for_their_own(journal, told, creator):
    accept_tokens(journal)

    own = user_client("wendy", journal).get(PATH + "&dimension=region&meter=sum")
    others = user_client("bob", journal).get(PATH + "&dimension=region&meter=sum")

    assert (own.status_code, others.status_code) == (200, 404)
