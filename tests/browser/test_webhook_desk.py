"""The webhook desk in a real Chromium: "a webhook failed last night", from the first page on."""

import os
from pathlib import Path

import pytest

from tests.browser.test_staff import choose, confirm

PICTURES = os.environ.get("PICTURES", "")  # a folder to leave screenshots in
LOOKS = [("light", 1280), ("dark", 390)]  # each theme and each width once


def put_on(page, theme, width):
    """The page anew: what it wears is decided when it loads."""
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 900})
    page.reload()


def look(page, theme, width, name):
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}-{theme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("html.dark").count() == (theme == "dark")


@pytest.fixture
def page(open_staff_page, theme, width):
    return open_staff_page(color_scheme=theme, viewport={"width": width, "height": 900})


def test_what_failed_last_night_is_replayed_in_three_clicks(shop, staff):
    shop.park_event(shop.customer_of("ada"))
    staff.reload()

    staff.locator("#counts").get_by_text("Events parked").click()
    staff.locator("#failures").get_by_role("link", name="Replay").first.click()
    staff.get_by_label("Reason").fill("Stripe takes the request again")
    staff.get_by_role("button", name="Replay", exact=True).click()

    staff.get_by_text("1 of 1 events, done").wait_for()
    assert shop.one("select count(*) from billing_inboxevent where state = 'parked'") == 0


def test_a_dry_run_says_what_would_change(shop, staff):
    shop.park_event(shop.customer_of("ada"))
    staff.goto(f"{shop.web}/admin/billing/inboxevent/replay/?state=parked")
    staff.get_by_label("Reason").fill("Only a look")
    staff.get_by_role("button", name="Dry run").click()

    staff.get_by_text("1 of 1 events, done").wait_for()
    assert staff.locator("#run td").last.inner_text().strip()
    assert shop.one("select count(*) from billing_inboxevent where state = 'parked'") == 1
    for theme, width in LOOKS:
        put_on(staff, theme, width)
        look(staff, theme, width, "dry-run")

    staff.set_viewport_size({"width": 1280, "height": 900})
    dialog = choose(staff, "Replay these now")
    dialog.get_by_label("Reason").fill("It changes what it should")
    # A machine that is slow sees the page only when it has loaded itself again.
    confirm(staff, dialog, "1 events are being replayed|1 of 1 events")
    staff.get_by_text("1 of 1 events, done").wait_for()
    assert shop.one("select count(*) from billing_inboxevent where state = 'parked'") == 0


@pytest.mark.parametrize(("theme", "width"), LOOKS)
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("inbox", "billing/inboxevent/"),
        ("range", "billing/inboxevent/replay/?state=parked"),
        ("promises", "billing/invariantcheck/"),
        ("jobs", "keystore/jobrun/"),
    ],
)
def test_pages_of_the_desk_fit(shop, page, name, path, theme, width):
    page.goto(f"{shop.web}/admin/{path}")

    look(page, theme, width, name)


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_the_page_of_one_event_fits(shop, page, theme, width):
    page.goto(f"{shop.web}/admin/billing/inboxevent/?type=customer.subscription.created")
    page.locator("#result_list").locator("a[href*='/change/']").first.click()
    page.get_by_role("heading", name="Tries").wait_for()

    look(page, theme, width, "event")
