"""What a newcomer to the desk is asked to put right, from the first page to the end, counted.

A search with its Enter is one click, and so is the last confirmation.
"""

import re

import pytest

from tests.browser.deeds import whoami
from tests.browser.test_acts import press
from tests.browser.test_staff import confirm, find
from tests.faults.http import post_form
from tests.faults.stack import CARD

FEWEST = 4
COUNT = """addEventListener("click", event => {
    // A form that is sent by Enter clicks its button as well: without a mouse.
    if (!event.isTrusted || !event.detail) return;
    sessionStorage.clicks = Number(sessionStorage.clicks || 0) + 1;
}, true)"""


class Newcomer:
    """Somebody on the first page, whose clicks the browser counts."""

    def __init__(self, shop, page):
        self.page = page
        self._searches = 0
        page.context.add_init_script(COUNT)
        page.goto(f"{shop.web}/admin/")

    def find(self, email):
        self._searches += 1
        find(self.page, email)

    def give_reason(self, within, said):
        within.get_by_label("Reason").fill(said)

    @property
    def clicks(self):
        return self._searches + int(self.page.evaluate("sessionStorage.clicks || 0"))


@pytest.fixture
def newcomer_at_desk(shop, open_staff_page):
    return lambda: Newcomer(shop, open_staff_page())


def bought(shop, user):
    """A buyer of pro who has collected their key."""
    checkout = shop.buy(user)
    shop.wait_for(f"access of {user}", lambda: "pro" in shop.features(user))
    return shop.claim(checkout)


def test_paid_but_no_webhook_came(shop, newcomer_at_desk):
    shop.control("webhooks/knobs", drop=1.0)
    shop.buy("lost-webhook")
    shop.control("webhooks/knobs", drop=0.0)
    assert shop.features("lost-webhook") == set()
    desk = newcomer_at_desk()

    desk.find("lost-webhook")
    desk.page.locator("a.alarm").filter(has_text="If they did pay: sync with Stripe").click()
    dialog = desk.page.locator("#dialog")
    desk.give_reason(dialog, "They say that they paid")
    dialog.locator("button[type=submit]").last.click()
    desk.page.locator(".header-card").get_by_text(re.compile("^Pro: active")).wait_for()

    assert "pro" in shop.features("lost-webhook")
    assert desk.clicks == 3 <= FEWEST


def test_paid_but_the_key_was_switched_off(shop, newcomer_at_desk, staff):
    key = bought(shop, "switched-off")
    find(staff, "switched-off")
    confirm(staff, press(staff, "keys", "Switch off"), r"lk_test_\S+ is off")
    assert whoami(shop, key)[0] == 403
    desk = newcomer_at_desk()

    desk.find("switched-off")
    confirm(desk.page, press(desk.page, "keys", "Switch on"), r"lk_test_\S+ is on")

    assert whoami(shop, key) == (200, "VALID")
    assert desk.clicks == 3 <= FEWEST


def test_paid_but_a_colleague_took_the_feature_away_just_now(shop, newcomer_at_desk, staff):
    taken_away(shop, staff, "taken-now")
    desk = newcomer_at_desk()

    desk.find("taken-now")
    desk.page.locator("#access").get_by_role("link", name="Undo").click()
    desk.page.get_by_role("button", name="Undo").click()
    desk.page.get_by_text(re.compile("in force again")).first.wait_for()

    assert "pro" in shop.features("taken-now")
    assert desk.clicks == 3 <= FEWEST


def test_paid_but_a_colleague_took_the_feature_away_long_ago(shop, newcomer_at_desk, staff):
    taken_away(shop, staff, "taken-before")
    # There is no time to wait until it cannot be undone any more: move the hands of the clock.
    shop.execute(
        "update entitlements_grant g set valid_from = valid_from - interval '11 minutes'"
        " from keystore_consumer c where g.effect = 'deny' and c.id = g.consumer_id"
        " and c.external_id = 'taken-before'"
    )
    desk = newcomer_at_desk()

    desk.find("taken-before")
    desk.page.get_by_role("link", name=re.compile(r"Give a grant\s*$")).locator(
        "visible=true"
    ).click()
    dialog = desk.page.locator("#dialog")
    dialog.get_by_label("Plan or feature").select_option(label="pro (boolean)")
    dialog.get_by_label("Ends (UTC)").fill("2040-01-02T03:04")
    desk.give_reason(dialog, "Taken away from the wrong customer")
    dialog.get_by_role("button", name="Preview").click()
    dialog.get_by_text("pro: Opens.").wait_for()
    confirm(desk.page, dialog, "pro is open until 2040-01-02")

    assert "pro" in shop.features("taken-before")
    assert desk.clicks == 4 <= FEWEST


def taken_away(shop, staff, user):
    bought(shop, user)
    find(staff, user)
    row = staff.locator("#access tr").filter(has=staff.locator("text=/^pro$/"))
    row.get_by_role("link", name="Take away").click()
    dialog = staff.locator("#dialog")
    dialog.get_by_label("Reason").fill("Thought to be another customer")
    confirm(staff, dialog, "pro is closed")
    assert "pro" not in shop.features(user)


def test_half_of_a_payment_goes_back(shop, newcomer_at_desk):
    bought(shop, "half-back")
    desk = newcomer_at_desk()

    desk.find("half-back")
    payments = desk.page.locator("#payments")
    captured = re.search(r"(\d+\.\d\d) USD", payments.inner_text())[1]
    payments.locator(".acts a", has_text="Refund").first.click()
    half = f"{float(captured) / 2:.2f}"
    desk.page.get_by_label("Amount in USD").fill(half)
    desk.page.get_by_text(f"{half} USD goes back to the card that paid").wait_for()
    desk.page.locator("#id_reason").fill("Half of the month was lost")
    desk.page.get_by_role("button", name="Request the refund").click()
    desk.page.get_by_text(re.compile(rf"{re.escape(half)} USD went back, re_")).wait_for()

    assert "pro" in shop.features("half-back")
    assert desk.clicks == 3 <= FEWEST


def test_webhook_failed_last_night_and_a_buyer_cannot_get_in(shop, newcomer_at_desk):
    begun = shop.begin("parked")
    customer = shop.customer_of("parked")
    shop.refuse_to_tell(customer)
    paid = post_form(begun.json["url"], {"number": "4242424242424242", **CARD})
    assert paid.status == 303
    shop.give_up(customer)
    shop.control("faults/clear")  # the cause is mended
    assert shop.features("parked") == set()
    desk = newcomer_at_desk()

    desk.page.locator("#counts").get_by_text("Events parked").click()
    desk.page.locator("#failures").get_by_role("link", name="Replay").first.click()
    desk.give_reason(desk.page, "Stripe takes the request again")
    desk.page.get_by_role("button", name="Replay", exact=True).click()
    desk.page.get_by_text(re.compile(r"^\s*(\d+) of \1 events, done")).wait_for()

    assert "pro" in shop.features("parked")
    assert desk.clicks == 3 <= FEWEST
