"""A catalogue file says what is sold, or which line is wrong."""

import pytest

from billing.catalog_file import dump_catalog, keep_heading, parse_catalog
from billing.catalog_places import CatalogMistake
from billing.catalog_spec import PlanFeatureSpec, Terms

FILE = """\
projects:
  journal:
    features:
      pro: {}
      tokens: {kind: limit}
      support: {kind: config}
    plans:
      pro:
        features:
          pro: true
          tokens: {limit: unlimited, reset: day, enforcement: soft}
          support: {config: {hours: 4}}
        prices:
          - {amount_minor: 1499, currency: usd, interval: month}
      credits:
        features: {tokens: 0}
        prices:
          - {amount_minor: 500, currency: eur, stripe_id: price_9, lookup_key: ten_credits}
"""


def plans_of(text=FILE, **variables):
    return {plan.code: plan for plan in parse_catalog(text, variables=variables)[0].plans}


def test_values_are_true_a_number_unlimited_or_a_config():
    values = plans_of()["pro"].features

    assert values == (
        PlanFeatureSpec("pro"),
        PlanFeatureSpec("tokens", limit=None, reset="day", enforcement="soft"),
        PlanFeatureSpec("support", config={"hours": 4}),
    )
    assert plans_of()["credits"].features == (PlanFeatureSpec("tokens", limit=0),)


def test_a_price_without_interval_is_sold_once():
    price = plans_of()["credits"].prices[0]

    assert price.terms == Terms(500, "eur", kind="one_off")
    assert (price.lookup_key, price.stripe_id) == ("ten_credits", "price_9")


def test_a_price_without_lookup_key_gets_one_from_its_plan():
    assert plans_of()["pro"].prices[0].lookup_key == "journal_pro_month_usd"


def test_what_is_dumped_reads_the_same():
    projects = parse_catalog(FILE)

    assert parse_catalog(dump_catalog(projects)) == projects


def test_the_example_is_valid():
    with open("catalog/space_journal.yaml") as file:
        projects = parse_catalog(file.read())

    limits = {plan.code: plan.limit_per_minute for plan in projects[0].plans}
    assert limits == {
        "basic": 60,
        "pro": 600,
        "team": 2400,
        "enterprise": 10000,
        "labs_lifetime": None,
    }


@pytest.mark.parametrize("name", ["PRICE_ID_PRO", "STRIPE_PRICE_PRO"])
def test_a_variable_names_the_price_of_its_plan(name):
    price = plans_of(**{name: "price_mine"})["pro"].prices[0]

    assert (price.stripe_id, price.is_adopted) == ("price_mine", True)


def test_a_variable_sets_the_rate_limit_of_its_plan():
    assert plans_of(RATE_LIMIT_PRO="700")["pro"].limit_per_minute == 700
    assert plans_of(RATE_LIMIT_TEAM="700")["pro"].limit_per_minute is None


def test_only_the_heading_is_kept():
    assert keep_heading("# one\n\n# two\nprojects:\n  # three\n") == "# one\n\n# two\n"


MISTAKES = {
    "a tab": ("projects:\n\tx: 1", "line 2: not YAML"),
    "nothing": ("", "line 1: the file must hold `projects:`."),
    "an unknown name": (
        FILE.replace("    plans:", "    plan:"),
        "line 7, projects.journal.plan: unknown name. Known here: number, name,",
    ),
    "a name twice": (
        FILE.replace("      tokens: {kind: limit}", "      pro: {}"),
        "line 5, projects.journal.features.pro: is named twice.",
    ),
    "an unknown kind": (
        FILE.replace("kind: config", "kind: colour"),
        "line 6, projects.journal.features.support.kind: must be one of boolean, limit, config, "
        "not 'colour'.",
    ),
    "a negative amount": (
        FILE.replace("1499", "-1"),
        "line 14, projects.journal.plans.pro.prices[0].amount_minor: must be a whole number",
    ),
    "an amount in units": (
        FILE.replace("1499", "14.99"),
        "line 14, projects.journal.plans.pro.prices[0].amount_minor: must be a whole number",
    ),
    "a currency in capitals": (
        FILE.replace("usd", "USD"),
        "line 14, projects.journal.plans.pro.prices[0].currency: 'USD' is not a currency",
    ),
    "an unknown feature": (
        FILE.replace("          pro: true", "          por: true"),
        "line 10, projects.journal.plans.pro.features.por: the project has no such feature",
    ),
    "a boolean feature with a number": (
        FILE.replace("          pro: true", "          pro: 5"),
        "line 10, projects.journal.plans.pro.features.pro: a boolean feature of a plan is `true`",
    ),
    "two prices of one name": (
        FILE.replace("lookup_key: ten_credits", "lookup_key: journal_pro_month_usd"),
        "line 2, projects.journal: two prices are called 'journal_pro_month_usd'",
    ),
    "an origin with a path": (
        FILE.replace("journal:", "journal:\n    allowed_origins: [https://a/b]"),
        "line 3, projects.journal.allowed_origins[0]: must be an origin",
    ),
    "metered without a price at Stripe": (
        FILE.replace("interval: month", "interval: month, kind: metered"),
        "line 14, projects.journal.plans.pro.prices[0]: a metered price names its `meter`",
    ),
    "an alias of itself": ("projects: &a\n  x: *a", "is nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_path(mistake):
    text, told = MISTAKES[mistake]

    with pytest.raises(CatalogMistake) as refusal:
        parse_catalog(text)

    assert told in refusal.value.message


def test_a_variable_that_is_no_number_is_refused():
    with pytest.raises(CatalogMistake, match="RATE_LIMIT_PRO='fast'"):
        plans_of(RATE_LIMIT_PRO="fast")
