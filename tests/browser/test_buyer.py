"""The paid path as a buyer walks it, in a real Chromium without JavaScript."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.browser.deeds import (
    DECLINED_CARD,
    GOOD_CARD,
    begin,
    come_back,
    patience,
    pay,
    portal_url,
    read_key,
    watch,
    whoami,
)
from tests.faults.http import post_json

PROMISED_SECONDS = 2.0


class AppPage(BaseHTTPRequestHandler):
    """The app's own page, to which its buyers come back."""

    def do_GET(self) -> None:
        found = self.path.startswith("/welcome")
        body = b"<!doctype html><link rel=icon href=data:,><title>App</title><h1>Welcome</h1>"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def app_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), AppPage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_buyer_pays_claims_calls_cancels_and_is_refused(shop, buyer, say):
    buyer.goto(begin(shop, "user_42")["checkout_url"])
    opens = watch(lambda: "pro" in shop.features("user_42"))
    paid_at = pay(buyer)
    come_back(buyer, shop)
    key = read_key(buyer)
    assert whoami(shop, key) == (200, "VALID")
    opened = opens.result() - paid_at

    buyer.reload()
    assert "was collected before" in buyer.locator("main").inner_text()
    assert key not in buyer.content()

    buyer.goto(portal_url(shop, "user_42"))
    refuses = watch(lambda: whoami(shop, key)[0] in (401, 403))
    cancelled_at = time.monotonic()
    buyer.get_by_role("button", name="Cancel now").click()
    buyer.get_by_role("link", name="Return").click()
    buyer.wait_for_url(f"{shop.web}/")
    refused = refuses.result() - cancelled_at

    assert "pro" not in shop.features("user_42")
    say(f"from Subscribe to the entitlement {opened:.2f} s, load {patience():.1f}")
    say(f"from Cancel now to the refusal of the key {refused:.2f} s, load {patience():.1f}")
    assert opened < PROMISED_SECONDS * patience()
    assert refused < PROMISED_SECONDS * patience()


def test_declined_card_says_so_and_another_one_pays(shop, buyer):
    buyer.goto(begin(shop, "dora")["checkout_url"])

    pay(buyer, DECLINED_CARD)
    assert buyer.get_by_role("alert").inner_text() == "Your card was declined."
    assert shop.features("dora") == set()

    pay(buyer, GOOD_CARD)
    come_back(buyer, shop)
    assert "pro" in shop.features("dora")


def test_public_checkout_leads_to_the_app_s_own_page(shop, buyer, app_url):
    wish = {
        "plan": "pro",
        "success_url": f"{app_url}/welcome?session={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{app_url}/pricing",
        "customer_email": "petra@a.example",
    }
    begun = post_json(f"{shop.web}/billing/create-checkout-session", wish)
    buyer.goto(begun.json["url"])
    pay(buyer)
    buyer.get_by_role("heading", name="Welcome").wait_for()

    session_id = buyer.url.removeprefix(f"{app_url}/welcome?session=")
    assert session_id.startswith("cs_test_")
    state = shop.ask(f"/api/v1/checkout/session/{session_id}").json
    assert (state["state"], state["plan"]) == ("complete", "pro")
    assert "pro" in shop.features(state["user_id"])


def test_return_page_before_payment_leads_back_to_the_payment(shop, buyer):
    begun = begin(shop, "wanda")
    buyer.goto(f"{shop.web}/checkout/return?session_id={begun['session_id']}")
    assert buyer.get_by_role("heading").inner_text() == "We are waiting for your payment."

    buyer.get_by_role("link", name="Not paid yet?").click()
    buyer.wait_for_url(begun["checkout_url"])


def test_waiting_page_shows_the_purchase_by_itself(shop, buyer, open_page):
    begun = begin(shop, "toby")
    buyer.goto(f"{shop.web}/checkout/return?session_id={begun['session_id']}")
    other_tab = open_page(java_script_enabled=False)
    other_tab.goto(begun["checkout_url"])
    pay(other_tab)

    come_back(buyer, shop)


def test_address_of_a_claimed_key_leads_back_to_the_return_page(shop, buyer):
    buyer.goto(begin(shop, "enid")["checkout_url"])
    pay(buyer)
    come_back(buyer, shop)
    read_key(buyer)

    buyer.goto(buyer.url)
    come_back(buyer, shop)
    assert "was collected before" in buyer.locator("main").inner_text()


def test_return_page_after_the_end_promises_nothing(shop, buyer):
    begun = begin(shop, "otto")
    buyer.goto(begun["checkout_url"])
    pay(buyer)
    come_back(buyer, shop)
    back = buyer.url
    buyer.goto(portal_url(shop, "otto"))
    buyer.get_by_role("button", name="Cancel now").click()
    watch(lambda: not shop.features("otto")).result()

    buyer.goto(back)
    assert buyer.get_by_role("heading").inner_text() == "Pro has ended."


def test_with_javascript_a_double_click_shows_the_key_and_a_button_copies_it(shop, open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(begin(shop, "dita")["checkout_url"])
    pay(page)
    come_back(page, shop)
    place = page.get_by_role("button", name="Show my key").bounding_box()
    for _ in range(2):  # as far apart as fingers do it: the first is on its way already
        page.mouse.click(place["x"] + 9, place["y"] + 9)
        page.wait_for_timeout(20)
    key = page.locator("#api-key").inner_text()

    page.get_by_role("button", name="Copy the key").click()
    page.get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == key


def test_unknown_session_says_that_nothing_is_lost(shop, buyer):
    answer = buyer.goto(f"{shop.web}/checkout/return?session_id=cs_unknown")

    assert answer.status == 404
    assert buyer.get_by_role("heading").inner_text() == "We do not know this payment."
