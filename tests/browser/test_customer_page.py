"""The customer page in a real Chromium: light and dark, wide and narrow."""

import os
import re
from pathlib import Path

import pytest

from tests.browser.test_staff import confirm, find

PICTURES = os.environ.get("PICTURES", "")  # a folder to leave screenshots in
ADA = "ada@space-journal.example"


def take_picture(page, name):
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def test_exact_search_needs_no_click(staff):
    find(staff, ADA)

    assert re.search(r"/consumer/\d+/change/$", staff.url)
    staff.locator(".header-card").get_by_text(re.compile("renews|active")).first.wait_for()


def test_command_palette_leads_to_the_page(staff):
    staff.keyboard.press("Control+k")
    field = staff.locator("#search-input-command")
    field.fill(ADA[:-1])
    # Asked for once: an answer that came after the arrow would take the choice away.
    with staff.expect_response(re.compile("/search/")):
        field.press_sequentially(ADA[-1])
    staff.locator("#command-results").get_by_text("Consumer of").first.wait_for()
    staff.keyboard.press("ArrowDown")
    staff.keyboard.press("Enter")

    staff.wait_for_url(re.compile(r"/consumer/\d+/change/"))


def test_timeline_tells_cause_and_effect(staff):
    find(staff, ADA)
    line = staff.locator("#timeline")
    story = (
        line.locator(".stories > li")
        .filter(has_text="Access to")
        .or_(line.locator(".stories > li").filter(has_text="opened"))
    )
    story.first.wait_for()

    line.get_by_role("link", name="Keys", exact=True).click()
    staff.wait_for_url(re.compile("kind=key"))
    staff.locator("#timeline .stories > li").first.wait_for()


def test_page_shows_what_they_had_before_they_came(staff):
    find(staff, ADA)
    staff.get_by_label("As of (UTC)").fill("2020-03-03T12:00")
    staff.get_by_role("button", name="Show").click()

    staff.get_by_text("Nothing had been granted.").wait_for()
    staff.get_by_role("link", name="Back to now").click()
    staff.get_by_role("link", name="Back to now").wait_for(state="detached")
    staff.get_by_role("heading", name="What they may use, and why").wait_for()


def test_note_and_tags_are_kept(staff):
    find(staff, ADA)
    staff.locator("#notes").get_by_role("link", name="Add a note").click()
    dialog = staff.locator("#dialog")
    dialog.get_by_label("Note").fill("Prefers mail")
    confirm(staff, dialog, "The note is kept")
    assert staff.locator("#notes article").first.inner_text().startswith("Prefers mail")

    staff.locator(".header-card").get_by_role("link", name="Set tags").click()
    dialog.get_by_label("Tags").fill("vip, beta")
    dialog.get_by_label("Reason").fill("A friend of the house")
    confirm(staff, dialog, "Tags: beta, vip")


def test_row_of_a_grant_opens_its_own_dialog(staff):
    find(staff, ADA)
    staff.locator("#keys .acts a", has_text="Revoke").first.click()
    dialog = staff.locator("#dialog")
    dialog.get_by_label("Reason").wait_for()

    assert dialog.get_by_label("Key").input_value().startswith("key_")


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_page_fits_and_can_be_read(shop, open_staff_page, theme, width):
    page = open_staff_page(color_scheme=theme)
    page.goto(f"{shop.web}/admin/")
    find(page, ADA)
    page.set_viewport_size({"width": width, "height": 900})
    take_picture(page, f"customer-{theme}-{width}")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("html.dark").count() == (theme == "dark")
