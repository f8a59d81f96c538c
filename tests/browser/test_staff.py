"""What support does in the admin, in a real Chromium."""

import re

import pytest

from tests.browser.deeds import begin, come_back, pay, read_key, whoami

SEND_AT_ONCE = """() => new MutationObserver((seen, observer) => {
    observer.disconnect();
    document.querySelector("#dialog button[type=submit]").click();
}).observe(document.getElementById("modal-content"), {childList: true})"""


def find(staff, email: str) -> None:
    """From the front page to the page of one consumer."""
    search = staff.get_by_role("searchbox", name="Find a consumer")
    search.fill(email)
    search.press("Enter")
    staff.get_by_role("heading", name="What they may use, and why").wait_for()
    staff.wait_for_load_state()


def entitlement(staff, feature: str) -> str:
    """The line of one feature, as one text."""
    table = staff.get_by_role("table").filter(has_text="What changes it")
    return str(table.get_by_role("row", name=re.compile(f"^{feature}\\b")).inner_text())


def choose(staff, action: str, *, menu: str = ""):
    """Press the action, in its menu if it is in one; the dialog that opens."""
    # Before its words a link may have the name of its icon.
    link = staff.get_by_role("link", name=re.compile(rf"{action}\s*$"), include_hidden=True)
    link.first.wait_for(state="attached")
    staff.wait_for_load_state()  # by then the scripts ran that make a dialog of a link
    if menu:
        staff.locator("[x-ref=actionDropdown]:visible").filter(has_text=menu).click()
    link.locator("visible=true").click()
    dialog = staff.locator("#dialog")
    dialog.get_by_label("Reason").wait_for()
    return dialog


def confirm(staff, dialog, said: str) -> None:
    """Send the dialog, and see what the page says that it leads to."""
    # What it said the last time must not be taken for this time's answer; nor may the new page be
    # waited for to its end, for one that follows its work loads itself again.
    with staff.expect_navigation(wait_until="commit"):
        dialog.locator("button[type=submit]").last.click()
    staff.get_by_text(re.compile(said)).first.wait_for()


def test_support_finds_a_consumer_by_e_mail_and_sees_why(staff):
    find(staff, "ada@space-journal.example")

    assert re.search(r"yes.*plan pro by subscription sub_", entitlement(staff, "pro"), re.S)


def test_grant_is_given_with_reason_and_end_and_revoked(shop, staff, newcomer):
    find(staff, f"{newcomer}@a.example")
    dialog = choose(staff, "Give a grant")
    dialog.get_by_label("Plan or feature").select_option(label="labs (boolean)")
    dialog.get_by_label("Ends (UTC)").fill("2040-01-02T03:04")
    dialog.get_by_label("Reason").fill("Pilot of the new editor")
    dialog.get_by_role("button", name="Preview").click()
    dialog.get_by_text("labs: Opens.").wait_for()
    confirm(staff, dialog, r"labs is open until 2040-01-02 03:04 UTC \(grant_")
    assert re.search(r"yes.*staff grant_.*2040", entitlement(staff, "labs"), re.S)
    assert "labs" in shop.features(newcomer)

    dialog = choose(staff, "Revoke a grant", menu="Revoke")
    dialog.get_by_label("Grant").select_option(index=1)
    dialog.get_by_label("Reason").fill("The pilot is over")
    confirm(staff, dialog, r"grant_\w+ is revoked\.")
    assert "labs" not in shop.features(newcomer)


def test_dialog_can_be_sent_the_moment_it_is_seen(staff, newcomer):
    find(staff, f"{newcomer}@a.example")
    page = staff.url
    staff.evaluate(SEND_AT_ONCE)
    dialog = choose(staff, "Give a grant")

    dialog.get_by_text("This field is required").first.wait_for()
    assert staff.url == page


def test_inbox_event_is_replayed_with_a_reason(shop, staff):
    staff.get_by_role("link", name="Inbox").click()
    event = staff.locator("#result_list").get_by_role("link", name=re.compile("^evt_")).first
    event_id = event.inner_text().strip()
    event.click()
    dialog = choose(staff, "Replay")
    dialog.get_by_label("Reason").fill("Look again")
    confirm(staff, dialog, f"{event_id} waits to be worked off again")

    count = "select count(*) from keystore_auditentry where act like 'inbox%%' and reason = %s"
    assert shop.one(count, "Look again") == 1


def test_key_that_staff_revoke_is_refused(shop, staff, open_page):
    buyer = open_page(java_script_enabled=False)
    buyer.goto(begin(shop, "rita")["checkout_url"])
    pay(buyer)
    come_back(buyer, shop)
    key = read_key(buyer)
    assert whoami(shop, key) == (200, "VALID")

    find(staff, "rita@a.example")
    dialog = choose(staff, "Revoke a key", menu="Revoke")
    dialog.get_by_label("Key").select_option(index=1)
    dialog.get_by_label("Reason").fill("Found in a public repository")
    confirm(staff, dialog, r"lk_test_.* is revoked\.")

    assert whoami(shop, key)[0] in (401, 403)


def test_inbox_event_fits_a_phone(shop, staff):
    staff.goto(f"{shop.web}/admin/billing/inboxevent/")
    staff.locator("#result_list").get_by_role("link", name=re.compile("^evt_")).first.click()
    staff.locator("pre").wait_for()
    staff.wait_for_load_state()
    staff.set_viewport_size({"width": 390, "height": 844})

    assert staff.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_reference_of_the_api_loads_under_its_content_policy(shop, open_page, path):
    # ReDoc asks its maker's site for a badge; our policy refuses that and the page hides it.
    page = open_page(forgive="https://cdn.redoc.ly/")
    page.goto(shop.web + path)

    page.get_by_text("Begin a checkout").locator("visible=true").first.wait_for()
