"""Creators and their APIs over HTTP: both kinds of caller, each with its own things only."""

import csv
from io import StringIO

import pytest

from billing.models import ApiListing, Creator, Earning
from tests.billing.market.money_cast import Till, line, price_of
from tests.keystore.tokens_cast import accept_tokens, user_client

CREATOR = {"user_id": "wendy", "country": "US", "currency": "usd"}
MARCH = "from=2026-03-01&to=2026-03-02"


@pytest.fixture
def as_wendy(journal, creator):
    accept_tokens(journal)
    return user_client("wendy", journal)


@pytest.fixture
def as_bob(journal, bob, as_wendy):
    """Another user of the same project, and a creator, too."""
    Creator.objects.create(project=journal, consumer=bob, country="US", currency="usd")
    return user_client("bob", journal)


@pytest.fixture
def sold(alice, weather_plan, fifth):
    price_of(weather_plan)
    till = Till(alice)
    till.give_back(till.pay(line("price_weather", 1000)), 250)
    till.pay(line("price_weather", 700), currency="jpy")
    return till


def test_an_app_makes_a_user_a_creator_once(api, wendy):
    first = api.post("/api/v1/creators", CREATOR, format="json")
    again = api.post("/api/v1/creators", CREATOR, format="json")

    assert (first.status_code, first.json()) == (200, again.json())
    assert first.json()["state"] == "new"
    assert Creator.objects.get().consumer == wendy


def test_a_token_makes_its_own_user_a_creator(journal, wendy):
    accept_tokens(journal)
    asked = {"country": "DE", "currency": "eur"}

    answer = user_client("wendy", journal).post("/api/v1/creators", asked, format="json")

    assert answer.json()["user_id"] == "wendy"


def test_a_token_makes_nobody_else_a_creator(as_wendy, alice):
    asked = {**CREATOR, "user_id": "alice"}

    assert as_wendy.post("/api/v1/creators", asked, format="json").status_code == 404
    assert Creator.objects.count() == 1


def test_a_creator_moves_to_no_other_country(api, creator):
    answer = api.post("/api/v1/creators", {**CREATOR, "country": "DE"}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "creator_terms_differ")


@pytest.mark.parametrize("wrong", [{"country": "us"}, {"currency": "USD"}, {"country": ""}])
def test_odd_terms_are_refused(api, wendy, wrong):
    answer = api.post("/api/v1/creators", {**CREATOR, **wrong}, format="json")

    assert answer.status_code == 400
    assert not Creator.objects.exists()


def test_a_creator_sees_the_balance_of_each_currency(as_wendy, creator, earned):
    earned(-5)
    earned(700, currency="jpy")

    found = as_wendy.get(f"/api/v1/creators/{creator.public_id}").json()

    assert found["balances"] == [
        {"amount_minor": 700, "currency": "jpy"},
        {"amount_minor": -5, "currency": "usd"},
    ]


@pytest.mark.parametrize("path", ["", "/payouts", "/statements/2026-03"])
def test_another_creators_page_is_not_found(as_bob, creator, path):
    assert as_bob.get(f"/api/v1/creators/{creator.public_id}{path}").status_code == 404


def test_another_projects_creator_is_not_found(api, orbit, mallory):
    theirs = Creator.objects.create(project=orbit, consumer=mallory, country="US", currency="usd")

    assert api.get(f"/api/v1/creators/{theirs.public_id}").status_code == 404


def test_onboarding_sends_nobody_to_a_foreign_page(as_wendy, creator):
    urls = dict.fromkeys(("return_url", "refresh_url"), "https://evil.example.com/")

    answer = as_wendy.post(f"/api/v1/creators/{creator.public_id}/onboarding", urls, format="json")

    assert (answer.status_code, answer.json()["code"]) == (400, "url_not_allowed")


def test_a_creator_lists_an_api_and_publishes_it(as_wendy, api):
    asked = {"code": "tides", "name": "Tides"}
    made = as_wendy.post("/api/v1/apis", asked, format="json")
    assert (made.status_code, made.json()["published"]) == (201, False)
    assert api.get("/api/v1/marketplace").json()["data"] == []

    changed = as_wendy.patch(
        f"/api/v1/apis/{made.json()['id']}", {"published": True}, format="json"
    )

    assert changed.json()["published"] is True
    assert [one["code"] for one in api.get("/api/v1/marketplace").json()["data"]] == ["tides"]


def test_a_taken_code_lists_nothing(as_wendy, weather):
    answer = as_wendy.post("/api/v1/apis", {"code": "weather", "name": "x"}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "api_code_taken")
    assert ApiListing.objects.count() == 1


def test_whoever_is_no_creator_lists_nothing(api, alice):
    asked = {"user_id": "alice", "code": "tides", "name": "Tides"}

    assert api.post("/api/v1/apis", asked, format="json").json()["code"] == "not_a_creator"


@pytest.mark.parametrize("path", ["", "/plans", "/usage", "/earnings"])
def test_another_creators_api_is_not_found(as_bob, weather, path):
    assert as_bob.get(f"/api/v1/apis/{weather.public_id}{path}").status_code == 404


def test_another_creator_changes_nothing_of_an_api(as_bob, weather):
    path = f"/api/v1/apis/{weather.public_id}"

    assert as_bob.patch(path, {"published": False}, format="json").status_code == 404
    assert as_bob.post(f"{path}/plans", {}, format="json").status_code == 404
    assert weather.listing.published_at is not None


def test_everybody_lists_their_own_apis(as_wendy, as_bob, api, weather):
    codes = [
        [one["code"] for one in client.get(f"/api/v1/apis{query}").json()["data"]]
        for client, query in ((as_wendy, ""), (as_bob, ""), (api, ""), (api, "?user_id=wendy"))
    ]

    assert codes == [["weather"], [], ["weather"], ["weather"]]


def test_earnings_stand_apart_by_currency_and_add_up(as_wendy, weather, sold):
    found = as_wendy.get(f"/api/v1/apis/{weather.public_id}/earnings?{MARCH}").json()

    assert [(one["currency"], one["net_minor"]) for one in found["totals"]] == [
        ("jpy", 560),
        ("usd", 600),
    ]
    usd = found["totals"][1]
    assert (usd["sales_minor"], usd["taken_back_minor"], usd["commission_minor"]) == (
        *(1000, -250),
        150,
    )
    assert found["data"] == [{**one, "group": "2026-03-01"} for one in found["totals"]]


@pytest.mark.parametrize("by", ["plan", "consumer"])
def test_earnings_are_told_by_plan_and_by_consumer_without_naming_them(
    api, weather, sold, alice, by
):
    path = f"/api/v1/apis/weather/earnings?{MARCH}&breakdown={by}&currency=usd"

    [one] = api.get(path).json()["data"]

    assert one["group"] == {"plan": "weather-pro", "consumer": alice.public_id}[by]
    assert one["net_minor"] == 600


def test_a_day_is_a_day_of_the_zone_that_is_asked_for(api, weather, sold):
    path = "/api/v1/apis/weather/earnings?from=2026-03-01&to=2026-03-03&timezone=Pacific/Kiritimati"

    assert {one["group"] for one in api.get(path).json()["data"]} == {"2026-03-02"}


def test_earnings_come_as_csv(api, weather, sold):
    path = f"/api/v1/apis/weather/earnings?{MARCH}&currency=usd"

    answer = api.get(path, headers={"Accept": "text/csv"})

    rows = list(csv.reader(StringIO(b"".join(answer).decode())))
    assert rows[0][:3] == ["group", "currency", "sales_minor"]
    assert rows[1][:3] == ["2026-03-01", "usd", "1000"]


@pytest.mark.parametrize("query", ["breakdown=age", "timezone=Mars", "from=x", "from=2026-03-02"])
def test_an_odd_question_is_refused(api, weather, query):
    path = f"/api/v1/apis/weather/earnings?to=2026-03-01&{query}"

    assert api.get(path).status_code == 400


def test_a_statement_is_safe_in_a_spreadsheet(as_wendy, creator, sold, earned):
    Earning.objects.create(
        project=creator.project,
        creator=creator,
        kind="adjustment",
        currency="usd",
        amount_minor=1,
        source="adj",
        reason="=1+1",
        occurred_at=Earning.objects.first().occurred_at,
    )

    answer = as_wendy.get(f"/api/v1/creators/{creator.public_id}/statements/2026-03")

    rows = list(csv.DictReader(StringIO(answer.content.decode())))
    assert sum(int(row["amount_minor"].lstrip("'")) for row in rows) == 560 + 600 + 1
    assert rows[-1]["reason"] == "'=1+1"


def test_a_statement_to_print_says_how_the_month_ended(as_wendy, creator, sold):
    path = f"/api/v1/creators/{creator.public_id}/statements/2026-03?form=html"

    page = as_wendy.get(path)

    assert "6.00 USD" in page.content.decode()
    assert "script-src" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("month", ["2026-13", "2026-3", "march"])
def test_no_month_no_statement(as_wendy, creator, month):
    path = f"/api/v1/creators/{creator.public_id}/statements/{month}"

    assert as_wendy.get(path).status_code == 400


def test_a_key_needs_the_scope_of_the_marketplace(journal, backend, weather):
    from rest_framework.test import APIClient

    from keystore.services import issue_key
    from tests.conftest import NOON

    issued = issue_key(
        project=journal, owner=backend, scopes=("usage:read",), actor="system", at=NOON
    )
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=issued.plaintext)

    assert client.get("/api/v1/apis").status_code == 403
    assert client.get("/api/v1/marketplace").status_code == 403
