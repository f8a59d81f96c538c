"""Exceptions in a real Chromium: giving with a preview, renewing, undoing, and many at once."""

import os
import re
from pathlib import Path

from tests.browser.test_staff import choose, find

PAINT = "dark => document.documentElement.classList.toggle('dark', dark)"
HEADING = "consumer,plan,feature,limit,config,ends,reason\n"


def picture(page, name):
    """Kept where PICTURES says, in the widths and colours that staff use; none may be wider.

    Only of a page of which something was seen: one that is on its way has no width yet.
    """
    folder = os.environ.get("PICTURES")
    page.wait_for_load_state()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for colours in ("light", "dark"):
            page.evaluate(PAINT, colours == "dark")
            if folder:
                page.wait_for_timeout(150)
                page.screenshot(path=str(Path(folder) / f"{name}-{width}-{colours}.png"))
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_grant_is_previewed_given_renewed_revoked_and_put_back(shop, staff, newcomer):
    find(staff, f"{newcomer}@a.example")
    dialog = choose(staff, "Give a grant")
    dialog.get_by_label("Plan or feature").select_option(label="labs (boolean)")
    dialog.get_by_label("Ends (UTC)").fill("2040-01-02T03:04")
    dialog.get_by_label("Ticket").fill("T-100")
    dialog.get_by_label("Reason").fill("Pilot of the new editor")
    dialog.get_by_role("button", name="Preview").click()
    dialog.get_by_text("labs: Opens.").wait_for()
    assert "labs" not in shop.features(newcomer)
    picture(staff, "give")
    dialog.get_by_role("button", name="Give").click()
    staff.get_by_text(re.compile("labs is open until 2040-01-02 03:04 UTC")).first.wait_for()
    assert "labs" in shop.features(newcomer)

    staff.get_by_role("link", name=re.compile("^grant_")).first.click()
    dialog = choose(staff, "Renew")
    dialog.get_by_label("Ends (UTC)").fill("2041-01-02T03:04")
    dialog.get_by_label("Reason").fill("The pilot goes on")
    dialog.get_by_role("button", name="Preview").click()
    dialog.get_by_role("button", name="Renew").click()
    staff.get_by_text("labs goes on until 2041-01-02 03:04 UTC").first.wait_for()

    dialog = choose(staff, "Revoke")
    dialog.get_by_text("labs: Closes.").wait_for()
    picture(staff, "revoke")
    dialog.get_by_label("Reason").fill("The wrong customer")
    dialog.get_by_role("button", name="Revoke").click()
    staff.get_by_role("link", name="Undo", exact=True).wait_for()
    assert "labs" not in shop.features(newcomer)
    picture(staff, "grant")

    staff.get_by_role("link", name="Undo", exact=True).click()
    back = staff.get_by_role("button", name="Undo")
    back.wait_for()
    picture(staff, "undo")
    back.click()
    staff.get_by_text(re.compile("is in force again")).first.wait_for()
    assert "labs" in shop.features(newcomer)


def test_list_with_bad_lines_is_shown_and_its_good_ones_given(shop, staff, newcomer):
    staff.goto(f"{shop.web}/admin/entitlements/grantbatch/")
    staff.get_by_role("link", name=re.compile(r"Give many grants\s*$")).click()
    staff.get_by_label("or paste the lines").wait_for()
    picture(staff, "upload")
    staff.get_by_label("Project").select_option(index=1)
    staff.get_by_label("or paste the lines").fill(
        HEADING
        + f"{newcomer}@a.example,,labs,,,2040-01-31,A list\n"
        + "nobody,,labs,,,2040-01-31,\n"
        + f"{newcomer}@a.example,,labs,,,2020-01-31,\n"
        + "=HYPERLINK(1),,labs,,,2040-01-31,\n"
    )
    staff.get_by_label("Reason").fill("Outage of 3 March")
    staff.get_by_role("button", name="Look at the lines").click()
    staff.get_by_text("1 of 4 lines can be given, 3 cannot.").wait_for()
    picture(staff, "batch")

    staff.get_by_role("button", name="Give 1 grant").click()
    staff.get_by_text("3 lines are bad").first.wait_for()
    staff.get_by_label(re.compile("Give the good ones")).check()
    staff.get_by_role("button", name="Give 1 grant").click()
    # While it goes on the page says more, and loads itself again.
    staff.get_by_text("1 of 1 grants given, 0 failed. 3 bad lines were left out.").wait_for()
    picture(staff, "given")


def test_list_of_what_ends_this_week_fits(shop, staff):
    staff.goto(f"{shop.web}/admin/")
    staff.get_by_role("link", name="Expiring this week").first.click()
    staff.wait_for_url("**/entitlements/grant/?state=expiring")
    picture(staff, "expiring")
