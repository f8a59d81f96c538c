"""Reconciliation in a real Chromium: only look, repair one, repair all, and find nothing more."""

import os
import re
from pathlib import Path

PICTURES = os.environ.get("PICTURES", "")  # a folder to leave screenshots in
LOOKS = [("light", 1280), ("dark", 390)]  # each theme and each width once
ENDED = 120_000  # milliseconds: at Stripe's pace, on a busy machine


def look(page, name):
    for theme, width in LOOKS:
        page.emulate_media(color_scheme=theme)
        page.evaluate(f"localStorage.setItem('_x_adminTheme', JSON.stringify('{theme}'))")
        page.set_viewport_size({"width": width, "height": 900})
        page.reload()
        page.locator("#reconciliation-progress").wait_for()
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"{name}-{theme}-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("html.dark").count() == (theme == "dark")
    page.set_viewport_size({"width": 1280, "height": 900})


def compare(staff, shop):
    """Start a dry run of everything from its list, and stay on its page."""
    unfinished = "state in ('waiting', 'running')"
    shop.wait_for(
        "the nightly comparison to end",
        lambda: not shop.one(f"select count(*) from billing_reconciliationrun where {unfinished}"),
    )
    staff.goto(f"{shop.web}/admin/billing/reconciliationrun/")
    staff.get_by_text("Start a comparison").first.click()
    dialog = staff.locator("#dialog")
    dialog.get_by_label("Reason").fill("A customer complains")
    dialog.locator("button[type=submit]").last.click()
    staff.wait_for_url(re.compile(r"/reconciliationrun/\d+/change/"))


def see_the_end(staff, said):
    """The page follows the work, and is loaded once more when it has ended."""
    ended = staff.locator("#reconciliation-progress:not([data-goes-on])")
    ended.filter(has_text=said).wait_for(timeout=ENDED)


def test_differences_are_shown_repaired_and_gone(shop, staff):
    shop.plant_drifts()
    compare(staff, shop)
    see_the_end(staff, "differences found, 0 repaired")
    lines = staff.locator("#reconciliation-drifts tbody tr")
    assert lines.filter(has_text="limit_per_minute").count() == 1
    assert lines.filter(has_text="valid_to of").count() == 1
    look(staff, "drifts")

    lines.filter(has_text="limit_per_minute").get_by_role("checkbox").check()
    staff.get_by_label("Reason").fill("The plan's limit is right")
    staff.get_by_role("button", name="Repair the ticked").click()
    staff.get_by_text("1 of 1 differences are in line to be repaired.").wait_for()
    see_the_end(staff, "found, 1 repaired")

    staff.get_by_label("Reason").fill("Stripe is right")
    staff.get_by_role("button", name="Repair all that are open").click()
    staff.get_by_text(re.compile("differences are in line to be repaired")).wait_for()
    # Until then the page loads itself again.
    staff.locator("#reconciliation-progress:not([data-goes-on])").wait_for(timeout=ENDED)
    staff.get_by_role("button", name="Repair all that are open").wait_for(state="detached")
    look(staff, "repaired")

    compare(staff, shop)
    see_the_end(staff, "Nothing differs.")
    look(staff, "clean")
