"""An overdue renewal: the page to pay without JavaScript, and what staff read, word and do."""

from urllib.parse import urlencode

import pytest
from django.core.signing import Signer

from tests.browser import pictures
from tests.browser.reading import examine
from tests.browser.test_dashboard import GOOD_CARD, fill_in
from tests.browser.test_staff import choose, confirm

COURSE = (
    "select d.public_id from billing_dunningcourse d join keystore_consumer c"
    " on c.id = d.consumer_id where c.external_id = %s and d.state <> 'closed'"
)
OUTCOME = "select outcome from billing_dunningcourse where public_id = %s"
FIRST_MAIL = (
    "select 1 from billing_dunningstep s join billing_dunningcourse d on d.id = s.course_id"
    " where d.public_id = %s and s.state = 'sent'"
)
LATE = "grace"  # of the demo: the payment of her upgrade failed


@pytest.fixture(scope="module")
def course(shop):
    """The course of the demo's late payer."""
    return course_of(shop, LATE)


def course_of(shop, name):
    shop.wait_for("the course", lambda: shop.rows(COURSE, name))
    return shop.one(COURSE, name)


def link_to(shop, course, **more):
    token = Signer(key=shop.environment["SECRET_KEY"], salt="billing.dunning.pay").sign(course)
    return f"{shop.web}/pay?{urlencode({'token': token, **more})}"


def test_staff_reads_where_it_stands_and_pauses_it(shop, staff, course):
    staff.get_by_role("link", name="Overdue").first.click()
    shop.wait_for("the first mail", lambda: shop.rows(FIRST_MAIL, course))
    staff.reload()
    row = staff.get_by_role("row").filter(has_text=LATE).filter(has_text="first mail sent")
    row.wait_for()
    pictures.take(staff, "overdue")
    row.get_by_role("link").first.click()
    staff.get_by_text("first mail: sent").wait_for()
    pictures.take(staff, "overdue-course")

    dialog = choose(staff, "Pause")
    dialog.get_by_label("Reason").fill("she is on holiday")
    confirm(staff, dialog, "The reminders are paused.")
    dialog = choose(staff, "Resume")
    dialog.get_by_label("Reason").fill("she is back")
    confirm(staff, dialog, "The reminders go on.")


def test_a_text_is_looked_at_exactly_as_it_leaves(shop, staff):
    staff.goto(f"{shop.web}/admin/billing/dunningtext/write/?kind=last_reminder&language=de")
    staff.get_by_label("Subject").fill("Bitte zahlen, {name}")
    staff.get_by_role("button", name="Preview").click()
    staff.get_by_text("Bitte zahlen, Ada Lovelace", exact=True).wait_for()
    mail = staff.locator("iframe").get_attribute("srcdoc")
    assert "Rechnung ansehen und bezahlen" in mail
    pictures.take(staff, "dunning-texts")


def test_a_late_payer_reads_the_page_on_any_screen(shop, open_page, course):
    page = open_page(bypass_csp=True)
    page.goto(link_to(shop, course, lang="de"))
    page.get_by_role("heading", name="zu bezahlen").wait_for()
    examine(page, "pay")


def test_a_late_payer_pays_and_reads_that_access_is_back(shop, buyer):
    shop.make_late_payer("tess")
    course = course_of(shop, "tess")
    buyer.goto(link_to(shop, course, lang="en"))
    buyer.get_by_role("button", name="Try the saved card again").click()
    buyer.get_by_text("The card was declined.").wait_for()
    buyer.get_by_role("button", name="Pay ").first.click()
    fill_in(buyer, GOOD_CARD)
    buyer.get_by_role("button", name="Pay").click()
    shop.wait_for("the payment", lambda: shop.one(OUTCOME, course) == "paid")

    buyer.goto(link_to(shop, course))
    buyer.get_by_text("your keys work").wait_for()
    if pictures.FOLDER:
        buyer.screenshot(path=f"{pictures.FOLDER}/pay-paid.png", full_page=True)
