"""What buyers do on Stripe's pages and apps do over the API."""

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.browser.shop import Shop
from tests.faults.http import call, post_json
from tests.faults.stack import APP_KEY

GOOD_CARD, DECLINED_CARD = "4242 4242 4242 4242", "4000 0000 0000 0002"
SECONDS = 30.0


def begin(shop: Shop, user: str) -> dict[str, Any]:
    """The answer of the API to an app whose user wants pro; it names no page of its own."""
    wish = {"user_id": user, "project_id": 1, "price_id": "price_123", "mode": "subscription"}
    address = f"{shop.web}/api/v1/checkout/session"
    answer = post_json(address, {**wish, "customer_email": f"{user}@a.example"}, X_API_Key=APP_KEY)
    assert answer.status == 200, answer
    return dict(answer.json)


def fill_in(page: Any, number: str) -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiry").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Name on card").fill("Nora Buyer")


def pay(page: Any, number: str = GOOD_CARD) -> float:
    """Fill the card in and press the button; the instant at which it was pressed."""
    fill_in(page, number)
    began = time.monotonic()
    page.get_by_role("button", name="Subscribe").click()
    return began


def come_back(page: Any, shop: Shop) -> None:
    """To the page that says that access is open; it looks again by itself until it is."""
    page.wait_for_url(f"{shop.web}/checkout/return**")
    page.get_by_role("heading", name="Pro is yours.").wait_for()
    page.wait_for_load_state()


def read_key(page: Any) -> str:
    page.get_by_role("button", name="Show my key").click()
    shown = page.locator("#api-key").inner_text()
    assert re.fullmatch(r"lk_test_\w{36}", shown), shown
    return str(shown)


def whoami(shop: Shop, key: str) -> tuple[int, str]:
    answer = call("GET", f"{shop.web}/whoami", X_API_Key=key)
    return answer.status, str(answer.json["code"])


def portal_url(shop: Shop, user: str) -> str:
    wish = {"user_id": user, "project_id": 1, "return_url": f"{shop.web}/"}
    answer = post_json(f"{shop.web}/api/v1/portal/session", wish, X_API_Key=APP_KEY)
    assert answer.status == 200, answer
    return str(answer.json["portal_url"])


def watch(is_so: Callable[[], bool]) -> "Future[float]":
    """Ask again and again beside the browser; the result is the instant of the first yes."""
    watcher = ThreadPoolExecutor(1)
    asked = watcher.submit(_instant_of, is_so)
    watcher.shutdown(wait=False)
    return asked


def _instant_of(is_so: Callable[[], bool]) -> float:
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end, f"not within {SECONDS:.0f} s"
        time.sleep(0.02)
    return time.monotonic()


def patience() -> float:
    """1 on an idle machine; as much more as there are processes that wait for a processor."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
