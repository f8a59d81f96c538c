"""A dialog whose answer is an error, or never comes, says so: htmx by itself shows nothing."""

import pytest

from tests.browser.pictures import take
from tests.browser.test_staff import choose, find

LOST = "No answer came. Whether it was done is not known."
FAILURES = {
    "refused": (lambda route: route.fulfill(status=403, body="no"), "Nothing was done:"),
    "failed": (lambda route: route.fulfill(status=500, body="oops"), "The server failed."),
    "lost": (lambda route: route.abort(), LOST),
    "logged out": (
        lambda route: route.fulfill(status=200, content_type="text/html", body="<p>Log in</p>"),
        "Nothing was done: the answer was another page.",
    ),
}
FORGIVEN = "^(403|500) .*/give/|htmx:|Response Status Error Code"


@pytest.fixture
def page(shop, open_staff_page):
    page = open_staff_page(forgive=FORGIVEN)
    page.goto(f"{shop.web}/admin/")
    find(page, "ada@space-journal.example")
    return page


def break_next(page, method, failure):
    """The next such request of htmx fails, and no other."""

    def handle(route):
        asked = route.request
        if asked.method == method and "hx-request" in asked.headers and not broken:
            broken.append(asked.url)
            failure(route)
        else:
            route.continue_()

    broken = []
    page.route("**/admin/keystore/consumer/**", handle)


@pytest.mark.parametrize("kind", FAILURES)
def test_act_without_an_answer_says_so_in_its_dialog_and_can_be_tried_again(page, kind):
    failure, said = FAILURES[kind]
    break_next(page, "POST", failure)
    dialog = choose(page, "Give a grant")
    dialog.get_by_label("Reason").fill("What was typed stays")
    dialog.locator("button[type=submit]").last.click()

    alert = dialog.get_by_role("alert")
    alert.filter(has_text=said).wait_for()
    assert dialog.get_by_label("Reason").input_value() == "What was typed stays"
    if kind == "lost":
        take(page, "dialog-lost", full=False)
    dialog.locator("button[type=submit]").last.click()
    dialog.get_by_text("This field is required").first.wait_for()
    assert alert.count() == 0


@pytest.mark.parametrize("kind", ["failed", "lost"])
def test_dialog_that_cannot_be_opened_says_so(page, kind):
    break_next(page, "GET", FAILURES[kind][0])
    page.get_by_role("link", name="Give a grant").locator("visible=true").click()

    page.get_by_role("alert").filter(has_text="This cannot be opened at present").wait_for()
    page.keyboard.press("Escape")
    choose(page, "Give a grant")
    assert page.get_by_role("alert").count() == 0
