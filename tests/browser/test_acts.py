"""What staff do from the rows of the consumer page, in a real Chromium: one buyer, all acts."""

import re

from tests.browser.deeds import whoami
from tests.browser.pictures import take
from tests.browser.shop import AS_US
from tests.browser.test_staff import confirm, find
from tests.faults.http import call
from tests.faults.test_kills import SANDBOX_KEY


def press(staff, section: str, words: str):
    """A button in a row of the page; the dialog that opens."""
    row = staff.locator(f"#{section} .acts a").filter(has_text=re.compile(f"^{words}$"))
    row.first.wait_for()
    staff.wait_for_load_state()
    row.first.click()
    dialog = staff.locator("#dialog")
    dialog.get_by_label("Reason").fill(f"{words}, asked for")
    return dialog


def test_subscription_is_cancelled_kept_and_moved_to_another_plan(shop, staff):
    customer = bought(shop, "sue")
    at_stripe = f"{shop.stripe}/v1/subscriptions?customer={customer}"
    find(staff, "sue")

    dialog = press(staff, "subscriptions", "Cancel at period end")
    dialog.get_by_text(re.compile("Access by Pro stays until")).wait_for()
    confirm(staff, dialog, "will not renew; access stays until the end")
    assert read(at_stripe)["data"][0]["cancel_at_period_end"] is True

    confirm(staff, press(staff, "subscriptions", "Keep"), "The subscription renews again")
    assert read(at_stripe)["data"][0]["cancel_at_period_end"] is False

    dialog = press(staff, "subscriptions", "Change plan")
    prices = dialog.get_by_label("New price")
    prices.select_option(prices.locator("option", has_text="Team").get_attribute("value"))
    dialog.locator("button[type=submit]").last.click()
    dialog.get_by_text("Press the button again to do it").wait_for()
    due = dialog.locator("[role=status] p.font-semibold").inner_text()
    assert re.search(r"\d+\.\d\d USD", due)
    take(staff, "change-plan", full=False)
    confirm(staff, dialog, re.escape(f"Changed. {due}"))
    assert read(at_stripe)["data"][0]["items"]["data"][0]["price"]["id"] == "price_team"
    staff.locator(".header-card").get_by_text(re.compile("^Team: active")).wait_for()


def test_key_is_replaced_switched_off_and_on_and_revoked(shop, staff):
    old = shop.claim(bought(shop, "kim", checkout=True))
    assert whoami(shop, old) == (200, "VALID")
    find(staff, "kim")

    dialog = press(staff, "keys", "Rotate")
    dialog.get_by_label("The old key works on for").select_option(label="a day")
    dialog.get_by_label("The new key").select_option(label="is shown to me, once")
    dialog.locator("button[type=submit]").last.click()
    new = staff.locator("#issued-key").inner_text()
    staff.wait_for_load_state()
    take(staff, "rotated", full=False)
    assert [whoami(shop, key)[1] for key in (old, new)] == ["VALID", "VALID"]

    staff.goto(f"{shop.web}/admin/")
    find(staff, "kim")
    confirm(staff, press(staff, "keys", "Switch off"), r"lk_test_\S+ is off")
    assert whoami(shop, new)[0] == 403
    confirm(staff, press(staff, "keys", "Switch on"), r"lk_test_\S+ is on")
    assert whoami(shop, new) == (200, "VALID")
    confirm(staff, press(staff, "keys", "Revoke"), r"lk_test_\S+ is revoked")
    assert whoami(shop, new)[0] == 401


def test_another_card_is_made_the_one_that_pays(shop, staff):
    customer = bought(shop, "mia")
    attach = f"{shop.stripe}/v1/payment_methods/pm_card_mastercard/attach"
    card = call("POST", attach, b"customer=" + customer.encode(), **AS_US).json["id"]
    find(staff, "mia")

    staff.locator("#payment-methods").get_by_text("mastercard 4444").wait_for()
    dialog = press(staff, "payment-methods", "Make default")
    assert dialog.get_by_label("Card").input_value() == card
    take(staff, "default-card", full=False)
    confirm(staff, dialog, "mastercard 4444, expires .* pays from now on")

    told = read(f"{shop.stripe}/v1/customers/{customer}")
    assert told["invoice_settings"]["default_payment_method"] == card


def read(address: str):
    answer = call("GET", address, Authorization=SANDBOX_KEY)
    assert answer.status == 200, answer
    return answer.json


def bought(shop, user: str, *, checkout: bool = False) -> str:
    """A buyer of pro, known to us as paying: their id at Stripe, or that of the checkout."""
    made = shop.buy(user)
    shop.wait_for(f"access of {user}", lambda: "pro" in shop.features(user))
    return made if checkout else shop.customer_of(user)
