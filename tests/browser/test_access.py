"""Whether everybody can read and use the buyer's pages: by keyboard, on a phone, in the dark."""

from pathlib import Path

import pytest

from tests.browser.deeds import begin, come_back, fill_in, pay, portal_url

AUDIT = (Path(__file__).parent / "audit.js").read_text()
NARROW = {"width": 320, "height": 640}
FOCUSED = "document.activeElement.textContent.trim()"
OUTLINE = "getComputedStyle(document.activeElement).outlineStyle"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_on_a_narrow_phone(shop, open_page, scheme):
    page = open_page(viewport=NARROW, color_scheme=scheme)
    waiting = begin(shop, f"nina-{scheme}")
    back = f"/checkout/return?session_id={waiting['session_id']}"
    paths = ["/", back, "/checkout/return?session_id=cs_no", "/checkout/cancelled", "/docs/errors"]
    problems = {}
    for address in [*(shop.web + path for path in paths), waiting["checkout_url"]]:
        page.goto(address)
        problems[address] = page.evaluate(AUDIT)

    assert {address: found for address, found in problems.items() if found} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_purchase_can_be_read_from_payment_to_portal(shop, open_page, scheme):
    page = open_page(viewport=NARROW, color_scheme=scheme)
    page.goto(begin(shop, f"paul-{scheme}")["checkout_url"])
    pay(page)
    come_back(page, shop)
    problems = {"before the claim": page.evaluate(AUDIT)}
    page.get_by_role("button", name="Show my key").click()
    page.locator("#api-key").wait_for()
    page.wait_for_load_state()
    problems["with the key"] = page.evaluate(AUDIT)
    page.goto(portal_url(shop, f"paul-{scheme}"))
    problems["portal"] = page.evaluate(AUDIT)

    assert {where: found for where, found in problems.items() if found} == {}


def test_key_is_claimed_and_copied_by_keyboard_alone(shop, open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(begin(shop, "kay")["checkout_url"])
    fill_in(page, "4242 4242 4242 4242")
    page.keyboard.press("Enter")
    come_back(page, shop)

    page.keyboard.press("Tab")
    assert (page.evaluate(FOCUSED), page.evaluate(OUTLINE)) == ("Show my key", "solid")
    page.keyboard.press("Enter")
    key = page.locator("#api-key").inner_text()
    page.wait_for_load_state()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == key
    page.keyboard.press("Tab")
    assert (page.evaluate(FOCUSED), page.evaluate(OUTLINE)) == ("Copy the key", "solid")
    page.keyboard.press("Enter")
    page.get_by_text("Copied.").wait_for()

    assert page.evaluate("navigator.clipboard.readText()") == key
