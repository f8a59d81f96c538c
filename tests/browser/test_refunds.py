"""A refund in a real Chromium: told before the click, followed step by step after it."""

import re

import pytest

PHONE = {"viewport": {"width": 390, "height": 844}}
LOOKS = {"desk": {}, "desk in the dark": {"color_scheme": "dark"}, "phone": PHONE}


def open_form(shop, page, consumer):
    """From the consumer's payments to the refund page of the first."""
    page.goto(f"{shop.web}/admin/billing/payment/?q={consumer}")
    page.locator("#result_list").get_by_role("link", name=re.compile("^ch_")).first.click()
    refund = page.get_by_role("link", name=re.compile(r"Refund\s*$")).locator("visible=true")
    if page.viewport_size["width"] < 1024:  # the acts are behind the dots
        page.get_by_text("more_horiz").locator("visible=true").click()
    refund.first.click()
    page.get_by_role("heading", name="What will follow").wait_for()


def assert_fits(page):
    page.wait_for_load_state()
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0


@pytest.mark.parametrize("look", LOOKS)
def test_a_refund_is_told_asked_for_and_followed(shop, open_staff_page, look):
    page = open_staff_page(**LOOKS[look])
    open_form(shop, page, "ada")

    page.get_by_label("Amount in USD").fill("1.25")
    page.get_by_text("1.25 USD goes back to the card that paid").wait_for()  # by itself
    assert_fits(page)
    page.locator("#id_reason").fill("Half of the week was lost")
    page.get_by_role("button", name="Request the refund").click()

    page.get_by_text(re.compile(r"1\.25 USD went back, re_")).wait_for(timeout=60_000)
    page.get_by_text("stay as they are").wait_for()
    assert_fits(page)


def test_too_much_is_refused_on_the_page_without_javascript(shop, open_staff_page):
    page = open_staff_page(java_script_enabled=False)
    open_form(shop, page, "ada")

    page.get_by_label("Amount in USD").fill("99999")
    page.get_by_role("button", name="Preview").click()

    page.get_by_text(re.compile(r"Only [\d.]+ USD of this payment is left")).wait_for()
