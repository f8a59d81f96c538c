"""Outgoing hooks in a real Chromium, with a real receiver: added, tested, sent again, rolled."""

import re

import pytest
from standardwebhooks.webhooks import Webhook

from tests.browser.pictures import take
from tests.browser.test_staff import choose, confirm
from tests.keystore.receivers import receiving


@pytest.fixture(scope="module")
def receiver():
    with receiving() as one:
        yield one


def test_endpoint_is_added_tested_sent_again_and_its_secret_rolled(staff, shop, receiver):
    secret = add_endpoint(staff, receiver.url)
    staff.get_by_role("link", name=re.compile("Go to the endpoint")).click()

    send_test(staff)
    shop.wait_for("the test", lambda: len(receiver.heard) == 1)
    heard = receiver.heard[0]
    assert Webhook(secret).verify(heard.body, heard.headers)["type"] == "test"

    receiver.always(410)
    send_test(staff)
    off = (
        "select count(*) from keystore_hookendpoint where disabled_because like 'It answered 410%%'"
    )
    shop.wait_for("the end of the endpoint", lambda: shop.one(off) == 1)
    receiver.always(204)
    staff.reload()
    take(staff, "hook-off")
    confirm(staff, because(choose(staff, "Switch on", menu="Change")), "The endpoint is on")
    confirm(staff, because(choose(staff, "Redeliver what failed")), "that begin again: 1")
    shop.wait_for("the redelivery", lambda: len(receiver.heard) == 3)
    assert receiver.ids[1] == receiver.ids[2] != receiver.ids[0]

    new = rolled(staff)
    staff.get_by_role("link", name=re.compile("Go to the endpoint")).click()
    send_test(staff)
    shop.wait_for("the test under the new secret", lambda: len(receiver.heard) == 4)
    heard = receiver.heard[3]
    told = [Webhook(one).verify(heard.body, heard.headers)["type"] for one in (secret, new)]
    assert (told, secret != new) == (["test", "test"], True)
    see_what_was_delivered(staff)


def see_what_was_delivered(staff) -> None:
    staff.goto(f"{staff.url.partition('/admin/')[0]}/admin/keystore/hookdelivery/")
    deliveries = staff.locator("#result_list").get_by_role("link", name=re.compile("^dlv_"))
    assert deliveries.count() == 3
    take(staff, "hook-deliveries")
    deliveries.nth(1).click()
    staff.get_by_role("heading", name="Tries").wait_for()
    staff.wait_for_load_state()
    tries = staff.locator("#tries").inner_text()
    assert ("410" in tries, "204" in tries) == (True, True)
    take(staff, "hook-delivery")


def add_endpoint(staff, url: str) -> str:
    """The signing secret, read where it is shown this once."""
    staff.get_by_role("link", name="Endpoints").click()
    dialog = because(choose(staff, "Add an endpoint"))
    dialog.get_by_label("Project").select_option(index=1)
    dialog.get_by_label("URL").fill(url)
    # The shop goes on beside the test: of all else that happens nothing is wanted here.
    dialog.get_by_label("refund.failed").check()
    take(staff, "hook-add", full=False)
    return shown(staff, dialog)


def rolled(staff) -> str:
    return shown(staff, because(choose(staff, "Roll the secret", menu="Change")))


def shown(staff, dialog) -> str:
    dialog.locator("button[type=submit]").last.click()
    return str(staff.locator("#hook-secret").inner_text())


def send_test(staff) -> None:
    confirm(staff, because(choose(staff, "Send a test")), r"A test is on its way: dlv_\w+")


def because(dialog):
    dialog.get_by_label("Reason").fill("The app wants to know")
    return dialog
