"""How staff are kept safe, in a real Chromium: second factor, step-up, lock-out, reveal, see-as."""

import base64
import os
import re
import time
from pathlib import Path

import pytest
from django_otp.oath import TOTP

from tests.browser.test_staff import choose, find

AUDIT = (Path(__file__).parent / "audit.js").read_text()
PICTURES = os.environ.get("PICTURES", "")
PHONE = {"width": 390, "height": 844}


def log_in(page, shop, user, password):
    page.goto(f"{shop.web}/admin/")
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation():  # what is on its way must not be broken off by what follows
        page.get_by_role("button", name="Log in").click()


def code(secret, *, steps=0):
    """What the app on the phone shows, so many half minutes from now."""
    app = TOTP(base64.b32decode(secret.replace(" ", "")))
    app.time = time.time() + 30 * steps
    return f"{app.token():06d}"


def picture(page, name):
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


def fits(page):
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def staff_made_for(shop, name, role="Support"):
    """A colleague of this test alone, with a password."""
    made = f"{name}-{time.time_ns()}"
    shop.make_staff(made, "correct horse battery", role)
    return made, "correct horse battery"


@pytest.mark.parametrize(
    ("scheme", "viewport"),
    [("light", {"width": 1280, "height": 900}), ("dark", PHONE)],
)
def test_second_factor_is_switched_on_and_asked_for(shop, open_page, scheme, viewport):
    page = open_page(color_scheme=scheme, viewport=viewport)
    user, password = staff_made_for(shop, "enrol")
    log_in(page, shop, user, password)
    page.wait_for_url(f"{shop.web}/admin/")
    page.goto(f"{shop.web}/admin/second-factor/enrol/")
    page.locator("img[alt^='QR']").wait_for()
    picture(page, f"enrol-{scheme}")
    fits(page)
    page.get_by_text("Or type the secret in").click()
    secret = page.locator("#secret").inner_text()
    page.get_by_label("Code").fill(code(secret))
    page.get_by_role("button", name="Switch it on").click()
    page.locator("#recovery-codes code").nth(9).wait_for()
    recovery = page.locator("#recovery-codes code").all_inner_texts()
    assert len(recovery) == 10
    picture(page, f"recovery-{scheme}")
    fits(page)

    fresh = open_page(color_scheme=scheme, viewport=viewport)
    log_in(fresh, shop, user, password)
    fresh.get_by_role("button", name="Go on").wait_for()
    picture(fresh, f"verify-{scheme}")
    fits(fresh)
    fresh.get_by_label("Code").fill("000000")
    fresh.get_by_role("button", name="Go on").click()
    fresh.get_by_text("That code is wrong").wait_for()
    fresh.get_by_label("Code").fill(code(secret, steps=1))
    fresh.get_by_role("button", name="Go on").click()
    fresh.wait_for_url(f"{shop.web}/admin/")


def test_lock_out_says_when_to_try_again(shop, open_page):
    page = open_page(viewport=PHONE, color_scheme="dark")
    user, _ = staff_made_for(shop, "locked")
    for _ in range(5):
        log_in(page, shop, user, "wrong")

    page.get_by_text(re.compile(r"Try again at \d\d:\d\d UTC, in 1[45] minutes")).wait_for()
    picture(page, "locked")
    fits(page)


def test_weighty_act_asks_for_the_password_in_its_dialog(shop, open_page):
    page = open_page()
    user, password = staff_made_for(shop, "step", "Operator")
    log_in(page, shop, user, password)
    page.wait_for_url(f"{shop.web}/admin/")
    shop.forget_proofs()
    page.goto(f"{shop.web}/admin/keystore/app/")
    page.locator("#result_list").get_by_role("link", name="space_journal_backend").click()
    dialog = choose(page, "Issue a key")
    dialog.get_by_label("keys:read").check()
    dialog.get_by_label("Reason").fill("Step-up in a browser")
    dialog.get_by_label("Your password").fill("wrong")
    dialog.locator("button[type=submit]").last.click()
    dialog.get_by_text("That is not your password").wait_for()
    picture(page, "step-up-dialog")
    dialog.get_by_label("Your password").fill(password)
    dialog.locator("button[type=submit]").last.click()
    assert re.fullmatch(r"lk_\w+", page.locator("#issued-key").inner_text())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_person_is_revealed_and_their_page_seen(shop, open_page, scheme):
    page = open_page(color_scheme=scheme)
    user, password = staff_made_for(shop, "reveal")
    log_in(page, shop, user, password)
    page.wait_for_url(f"{shop.web}/admin/")
    find(page, "ada@space-journal.example")
    assert "ada@space-journal.example" not in page.content()
    picture(page, f"masked-{scheme}")
    page.get_by_role("button", name="Reveal personal data").click()
    page.locator("#revealed").wait_for()
    page.wait_for_load_state()
    assert "ada@space-journal.example" in page.content()

    dialog = choose(page, "See as customer", menu="More")
    dialog.get_by_label("Reason").fill("Looks for an invoice")
    dialog.locator("button[type=submit]").last.click()
    page.wait_for_url(f"{shop.web}/admin/see-as/")
    page.get_by_text(re.compile("You see what ada sees, read-only, until")).wait_for()
    page.wait_for_load_state()
    assert page.evaluate(AUDIT) == []
    picture(page, f"see-as-{scheme}")
    page.set_viewport_size(PHONE)
    picture(page, f"see-as-{scheme}-phone")
    fits(page)
    page.get_by_role("button", name="End").click()
    page.wait_for_url(re.compile("/admin/keystore/consumer/"))
