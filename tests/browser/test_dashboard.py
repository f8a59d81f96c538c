"""A customer's whole life on their own pages, without JavaScript; then how the pages look."""

from urllib.parse import urlencode

from tests.browser.deeds import GOOD_CARD, fill_in
from tests.browser.reading import examine
from tests.browser.shop import AS_US
from tests.faults.http import call, post_json
from tests.faults.stack import APP_KEY

OWN = "s join keystore_consumer c on c.id = s.consumer_id where c.external_id = %s"
SUBSCRIPTION = f"select s.stripe_subscription_id from billing_subscription {OWN}"
INVOICE = f"select 1 from billing_invoice {OWN} and s.status = "


def link_for(shop, user):
    """What the app gets when it asks for one."""
    wish = {"user_id": user, "return_url": f"{shop.web}/"}
    made = post_json(f"{shop.web}/api/v1/dashboard/session", wish, X_API_Key=APP_KEY)
    assert made.status == 201, made
    return made.json["url"]


def enter(shop, page, user):
    page.goto(link_for(shop, user))
    page.get_by_role("button", name="Open my account").click()
    page.wait_for_url(f"{shop.web}/dashboard")


def press(page, name):
    page.get_by_role("button", name=name).first.click()


def at_stripe(shop, path, **params):
    answer = call("POST", f"{shop.stripe}/v1/{path}", urlencode(params).encode(), **AS_US)
    assert answer.status == 200, answer
    return answer.json


def fail_a_renewal(shop, user):
    """The card of the customer is declined when the next period begins, which is now."""
    customer, subscription = shop.customer_of(user), shop.one(SUBSCRIPTION, user)
    card = at_stripe(shop, "payment_methods/pm_card_chargeCustomerFail/attach", customer=customer)
    at_stripe(
        shop,
        f"subscriptions/{subscription}",
        default_payment_method=card["id"],
        billing_cycle_anchor="now",
        proration_behavior="none",
    )
    come_true(shop, user, "s.status = 'past_due'")
    shop.wait_for("the invoice", lambda: shop.rows(f"{INVOICE} 'open'", user))


def come_true(shop, user, state):
    """Wait until we know it: the page is right as soon as Stripe's events are worked off."""
    shop.wait_for(state, lambda: shop.rows(f"{SUBSCRIPTION} and {state}", user))


def buy_pro(shop, page, user):
    page.get_by_role("link", name="All plans and prices").click()
    page.get_by_role("button", name="Buy Pro").first.click()
    fill_in(page, GOOD_CARD)
    press(page, "Subscribe")
    page.wait_for_url(f"{shop.web}/dashboard")
    come_true(shop, user, "s.status = 'active'")
    page.reload()
    page.get_by_text("Renews on").wait_for()


def test_customer_buys_upgrades_fails_recovers_cancels_and_undoes(shop, buyer, newcomer):
    enter(shop, buyer, newcomer)
    buyer.get_by_text("You have no subscription.").wait_for()
    buy_pro(shop, buyer, newcomer)

    buyer.get_by_role("link", name="Change plan").click()
    buyer.get_by_role("link", name="See what the change costs Team").first.click()
    told = buyer.get_by_role("button", name="Change and pay").inner_text()
    press(buyer, "Change and pay")
    buyer.get_by_text("You have Team now.").wait_for()
    paid = told.removeprefix("Change and pay ")
    shop.wait_for("both invoices", lambda: len(shop.rows(f"{INVOICE} 'paid'", newcomer)) == 2)
    buyer.reload()
    buyer.get_by_role("cell", name=paid, exact=True).first.wait_for()

    fail_a_renewal(shop, newcomer)
    buyer.reload()
    buyer.get_by_text("Payment failed: pay by").wait_for()
    buyer.get_by_role("link", name="Pay now").first.click()
    fill_in(buyer, GOOD_CARD)
    press(buyer, "Pay")
    come_true(shop, newcomer, "s.status = 'active'")
    buyer.goto(f"{shop.web}/dashboard")
    buyer.get_by_text("Renews on").wait_for()

    press(buyer, "Do not renew")
    buyer.get_by_text("It will not be renewed.").wait_for()
    come_true(shop, newcomer, "s.cancel_at is not null")
    buyer.reload()
    buyer.get_by_text("Ends on").wait_for()
    press(buyer, "Renew after all")
    buyer.get_by_text("It renews again.").wait_for()

    press(buyer, "Show my key")
    assert buyer.locator("#api-key").inner_text().startswith("lk_test_")
    buyer.get_by_role("link", name="Back to your account").click()
    press(buyer, "Sign out")
    buyer.get_by_role("heading", name="You are signed out.").wait_for()


def test_pages_have_no_serious_issue_and_fit_a_phone(shop, open_page):
    page = open_page(bypass_csp=True)
    shop.make_late_payer("axel")
    page.goto(link_for(shop, "axel"))
    examine(page, "dashboard-open")
    press(page, "Open my account")
    page.get_by_text("Payment failed: pay by").wait_for()
    examine(page, "dashboard-unpaid")
    press(page, "Show my key")
    page.locator("#api-key").wait_for()
    examine(page, "dashboard-key")
    page.get_by_role("link", name="Back to your account").click()
    page.get_by_role("link", name="Cards and other payment methods").click()
    page.get_by_role("heading", level=1, name="Payment methods").wait_for()
    examine(page, "dashboard-cards")
    page.goto(f"{shop.web}/dashboard")
    press(page, "Sign out")
    page.get_by_role("heading", name="You are signed out.").wait_for()
    examine(page, "dashboard-signed-out")


def test_plans_and_what_a_change_costs_have_no_serious_issue(shop, open_page):
    page = open_page(bypass_csp=True)
    enter(shop, page, "ada")
    examine(page, "dashboard-home")
    page.get_by_role("link", name="Change plan").click()
    change = page.get_by_role("link", name="See what the change costs Team").first
    change.wait_for()
    examine(page, "dashboard-plans")
    change.click()
    page.get_by_role("button", name="Change and pay").wait_for()
    examine(page, "dashboard-change")


def test_bars_refresh_by_themselves_and_the_policy_holds(shop, open_page):
    page = open_page()
    enter(shop, page, "ada")
    page.locator("#usage progress").first.wait_for()

    with page.expect_response("**/dashboard/usage", timeout=60_000) as told:
        pass

    assert told.value.status in (200, 304)
    assert page.locator("#usage progress").count() >= 1
