"""What a newcomer should look at first, however much there is."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.clock import now
from keystore.services import disable_key
from tests.billing.admin.conftest import page_of, say
from tests.billing.admin.customer_page_cast import furnish, holder, paid, subscribed, text

__all__ = ["holder", "paid", "subscribed"]  # fixtures


def test_number_of_queries_does_not_grow_with_rows(support, alice, subscribed):
    furnish(alice, range(60))
    text(support, alice)  # whatever is read once
    with CaptureQueriesContext(connection) as few:
        text(support, alice)

    furnish(alice, range(60, 200))
    with CaptureQueriesContext(connection) as many:
        text(support, alice)
    assert len(many) == len(few) < 70


def test_unfinished_checkout_leads_to_the_sync(support, alice, pro_monthly):
    alice.checkouts.create(
        project=alice.project,
        price=pro_monthly,
        plan=pro_monthly.plan,
        mode="subscription",
        state="open",
    )

    page = text(support, alice)

    assert "is not paid, as far as we know. If they did pay: sync with Stripe." in page
    assert f'hx-get="{page_of(alice, "sync")}"' in page


def test_who_may_not_sync_is_led_to_the_checkouts(reader, alice, pro_monthly):
    alice.checkouts.create(
        project=alice.project,
        price=pro_monthly,
        plan=pro_monthly.plan,
        mode="subscription",
        state="open",
    )

    page = text(reader, alice)

    assert 'href="#checkouts">The checkout of' in page
    assert page_of(alice, "sync") not in page


def test_feature_that_staff_took_away_stands_on_top(support, alice, subscribed):
    wish = say(which_feature="pro", wish="take:1")
    support.post(page_of(alice, "take_feature"), wish)

    assert "Taken away by staff: pro. A grant opens it again." in text(support, alice)


def test_key_that_staff_switched_off_stands_on_top(support, alice, alices_key):
    disable_key(key=alices_key, actor="staff:sam", reason="a ticket", at=now())

    assert f"{alices_key} is switched off by staff." in text(support, alice)


def test_button_of_a_dialog_says_what_it_does(support, alice, holder):
    page = support.get(page_of(alice, "sync")).content.decode()

    assert page.count("Sync with Stripe now") == 2
    assert "Submit" not in page
