"""File, tables and Stripe are brought to say the same."""

import json

import pytest
from django.core.management import call_command

from billing import catalog, gateway
from billing.catalog_file import dump_catalog, parse_catalog
from billing.catalog_places import CatalogMistake
from billing.checkout import Wish, fulfil_checkout, start_checkout
from billing.models import CheckoutMode, Price
from billing.on_sale import find_price
from config.errors import Conflict
from entitlements.models import Plan
from entitlements.selectors import answer_of
from keystore.ids import new_id
from keystore.models import ApiKey, Project
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


def stripe(path, **params):
    """What somebody does in Stripe's dashboard."""
    return gateway.write(path, params, idempotency_key=new_id("test"))


def buy(consumer, stripe_world, clock):
    price = find_price(project=consumer.project, plan_code="pro")
    wish = Wish(consumer, price, CheckoutMode.SUBSCRIPTION)
    checkout = start_checkout(wish=wish, actor="system", at=clock())
    stripe(f"/v1/payment_pages/{checkout.stripe_session_id}/confirm", payment_method="pm_card_visa")
    fulfil_checkout(checkout=checkout, clock=clock)


def limit_of(consumer, code):
    answer = json.loads(answer_of(consumer=consumer, at=NOON).body)
    return next(e["limit"] for e in answer["entitlements"] if e["feature_code"] == code)


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


def test_another_amount_makes_a_new_price_and_archives_the_old(stripe_world):
    push()
    old = Price.objects.get(plan__code="pro")

    push(FILE.replace("1499", "1999"))

    new = Price.objects.get(plan__code="pro", active=True)
    old.refresh_from_db()
    at_stripe = [gateway.read(f"/v1/prices/{p.stripe_price_id}") for p in (old, new)]
    assert (old.active, old.amount_minor, new.amount_minor) == (False, 1499, 1999)
    assert [found["active"] for found in at_stripe] == [False, True]
    assert [found["lookup_key"] for found in at_stripe] == [None, "journal_pro_month_usd"]
    assert catalog.diff(project=read(FILE.replace("1499", "1999"))) == []


def test_the_old_amount_comes_back_as_the_old_price(stripe_world):
    push()
    first = Price.objects.get(plan__code="pro")
    push(FILE.replace("1499", "1999"))

    push()

    assert Price.objects.get(plan__code="pro", active=True) == first
    assert Price.objects.filter(plan__code="pro").count() == 2


def test_a_default_price_hands_over_before_it_is_archived(stripe_world):
    push()
    old = Price.objects.get(plan__code="pro")
    stripe(f"/v1/products/{old.stripe_product_id}", default_price=old.stripe_price_id)

    push(FILE.replace("1499", "1999"))

    new = Price.objects.get(plan__code="pro", active=True)
    product = gateway.read(f"/v1/products/{old.stripe_product_id}")
    assert product["default_price"] == new.stripe_price_id
    assert gateway.read(f"/v1/prices/{old.stripe_price_id}")["active"] is False


def test_pull_brings_what_the_dashboard_did(stripe_world):
    push()
    price = Price.objects.get(plan__code="pro")
    marks = {"latchkey_project": "journal", "latchkey_plan": "pro"}
    stripe(f"/v1/prices/{price.stripe_price_id}", active=False)
    made = stripe(
        "/v1/prices",
        product=price.stripe_product_id,
        unit_amount=14900,
        currency="usd",
        recurring={"interval": "year"},
        metadata=marks,
    )

    spec, changes = catalog.pull(project=price.project, at=NOON)

    price.refresh_from_db()
    pro = next(plan for plan in spec.plans if plan.code == "pro")
    assert price.active is False
    assert [one.stripe_id for one in pro.prices] == [made["id"]]
    assert sorted(change.act for change in changes) == ["create", "update"]
    assert Price.objects.get(stripe_price_id=made["id"]).amount_minor == 14900


def test_nothing_differs_after_a_pull(stripe_world):
    push()
    project = Project.objects.get()

    spec, changes = catalog.pull(project=project, at=NOON)

    again = parse_catalog(dump_catalog([spec]))[0]
    assert changes == []
    assert catalog.diff(project=again) == []


def test_a_variable_takes_over_a_price_with_the_terms_it_has(stripe_world):
    product = stripe("/v1/products", name="Mine")
    mine = stripe(
        "/v1/prices",
        product=product["id"],
        unit_amount=777,
        currency="eur",
        recurring={"interval": "year"},
    )

    push(PRICE_ID_PRO=mine["id"], RATE_LIMIT_PRO="700")

    price = Price.objects.get(plan__code="pro")
    assert (price.stripe_price_id, price.amount_minor, price.currency) == (mine["id"], 777, "eur")
    assert price.plan.limit_per_minute == 700
    assert catalog.diff(project=read(PRICE_ID_PRO=mine["id"], RATE_LIMIT_PRO="700")) == []


def test_a_variable_that_names_no_price_changes_nothing_at_stripe(stripe_world):
    with pytest.raises(CatalogMistake, match="price_typo of plan 'pro'"):
        push(PRICE_ID_PRO="price_typo")

    assert stripe_world.executions(route="POST /v1/products") == 0


def test_a_price_that_stripe_lacks_is_made_in_its_place(stripe_world):
    push(FILE.replace("interval: month", "interval: month, stripe_id: price_elsewhere"))

    assert Price.objects.get(plan__code="pro").stripe_price_id != "price_elsewhere"


def test_another_project_keeps_its_price(stripe_world, orbit):
    push()
    pro = Price.objects.get(plan__code="pro")
    theirs = FILE.replace("journal:", "comet:").replace(
        "interval: month", f"interval: month, stripe_id: {pro.stripe_price_id}"
    )

    with pytest.raises(Conflict, match="belongs to another project"):
        push(theirs)

    pro.refresh_from_db()
    assert pro.project.slug == "journal"


def test_stripe_away_in_the_middle_is_made_good_by_pushing_again(stripe_world):
    stripe_world.faults.add("POST /v1/prices", "reset_after", times=1)
    with pytest.raises(catalog.PushUnfinished):
        push()

    push()

    assert stripe_world.executions(route="POST /v1/prices") == 2
    assert Price.objects.filter(active=True).count() == 2
    assert catalog.diff(project=read()) == []


def test_a_changed_plan_reaches_who_holds_it_and_its_keys(stripe_world, clock):
    push()
    alice = Project.objects.get().consumers.create(external_id="alice", email="a@example.com")
    buy(alice, stripe_world, clock)
    assert limit_of(alice, "tokens") == 1000

    push(FILE.replace("tokens: 1000", "tokens: 5000").replace("minute: 600", "minute: 900"))

    assert limit_of(alice, "tokens") == 5000
    assert ApiKey.objects.get().plan_limit_per_minute == 900


def test_a_plan_that_left_the_file_is_not_sold_any_more(stripe_world):
    push()
    before, _ = FILE.split("      credits:")

    push(before)

    plan = Plan.objects.get(code="credits")
    price = plan.prices.get()
    assert (plan.public, price.active) == (False, False)
    assert gateway.read(f"/v1/prices/{price.stripe_price_id}")["active"] is False
    assert catalog.diff(project=read(before)) == []


def test_the_command_says_by_its_exit_code_whether_anything_differs(stripe_world, tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text("# Ours.\n" + FILE)
    with pytest.raises(SystemExit) as left:
        call_command("catalog", "diff", str(path))
    assert left.value.code == 1

    call_command("catalog", "push", str(path))

    call_command("catalog", "diff", str(path))
    call_command("catalog", "pull", str(path))
    call_command("catalog", "diff", str(path))
    assert path.read_text().startswith("# Ours.\n\nprojects:\n")


SOLD_ABROAD = FILE.replace(
    "        name: Pro\n", "        name: Pro\n        tax_code: txcd_10103001\n"
).replace(
    "currency: usd, interval: month}",
    "currency: usd, interval: month, tax_behavior: exclusive}\n"
    "          - {amount_minor: 1399, currency: eur, interval: month, tax_behavior: inclusive}\n"
    "          - {amount_minor: 2100, currency: jpy, interval: month}",
)
COUPONS = """
    coupons:
      spring:
        name: Spring
        percent_off: "12.5"
        duration: repeating
        months: 3
        plans: [pro]
        redeem_by: "2027-01-31"
        codes: {SPRING: {first_time: true, max_redemptions: 50}}
"""


def test_currencies_taxes_and_coupons_are_pushed_once_and_pulled_again(stripe_world):
    text = SOLD_ABROAD + COUPONS
    assert any("coupon spring" in str(one) for one in catalog.diff(project=read(text)))
    push(text)
    assert push(text) == []

    row = Price.objects.get(currency="eur")
    found = gateway.read(f"/v1/prices/{row.stripe_price_id}")
    assert (row.tax_behavior, found["tax_behavior"]) == ("inclusive", "inclusive")
    assert gateway.read(f"/v1/products/{row.stripe_product_id}")["tax_code"] == "txcd_10103001"
    coupon = gateway.read("/v1/coupons/latchkey_journal_spring")
    assert (coupon["percent_off"], coupon["duration_in_months"]) == (12.5, 3)

    spec, changes = catalog.pull(project=Project.objects.get(), at=NOON)
    assert changes == []
    dumped = dump_catalog([spec])
    assert read(dumped).coupons == read(text).coupons
    assert catalog.diff(project=read(dumped)) == []


def test_a_coupon_of_other_terms_needs_another_name(stripe_world):
    push(FILE + COUPONS)

    with pytest.raises(CatalogMistake, match="never changes"):
        push(FILE + COUPONS.replace("12.5", "15"))
    assert gateway.read("/v1/coupons/latchkey_journal_spring")["percent_off"] == 12.5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('percent_off: "12.5"', "percent_off: 120", "100 at most"),
        ("months: 3", "name: x", "named twice"),
        ("        months: 3\n", "", "goes with"),
        ("plans: [pro]", "amount_off_minor: 5", "either"),
        ('"2027-01-31"', '"soon"', "quoted day"),
        ("codes: {SPRING:", "codes: {S!:", "no promotion code"),
    ],
)
def test_a_bad_coupon_is_refused_by_its_line(old, new, said):
    with pytest.raises(CatalogMistake, match=said):
        read(FILE + COUPONS.replace(old, new))
