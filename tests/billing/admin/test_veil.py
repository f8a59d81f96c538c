"""No page of the admin shows a checkout's session id: with it anybody collects the buyer's key."""

import pytest
from django.apps import apps
from django.contrib import admin

from billing.models import Checkout, Operation
from tests.billing.admin.conftest import an_event

pytestmark = pytest.mark.django_db

SESSION = "cs_test_a1B2c3D4e5F6g7H8"
SHOWN = "cs_test_a1B2..."


@pytest.fixture
def bought(alice, pro):
    """alice's checkout, what made and what ended it, and Stripe's event about it."""
    from billing.models import Price

    price = Price.objects.create(
        project=alice.project, plan=pro, stripe_price_id="price_1", amount_minor=1, currency="usd"
    )
    checkout = Checkout.objects.create(
        project=alice.project, consumer=alice, price=price, plan=pro, stripe_session_id=SESSION
    )
    operation = Operation.objects.create(
        project=alice.project,
        kind="expire_checkout",
        path=f"/v1/checkout/sessions/{SESSION}/expire",
        subject=SESSION,
        stripe_object_id=SESSION,
        params={},
        actor="system",
    )
    inner = {"object": "checkout.session", "id": SESSION, "url": f"https://pay.example/{SESSION}#x"}
    payload = {"id": "evt_1", "object": "event", "data": {"object": inner}}
    return checkout, operation, an_event("evt_1", object_id=SESSION, payload=payload)


def test_staff_see_only_the_start_of_a_session_id(bought, superuser):
    for row in bought:
        base = f"/admin/billing/{row._meta.model_name}/"
        page = superuser.get(f"{base}{row.pk}/change/").content.decode()
        assert SHOWN in page
        assert SESSION not in page + superuser.get(base).content.decode()


def test_a_whole_session_id_is_still_found(bought, support):
    checkout, operation, event = bought
    for row in (checkout, operation, event):
        found = support.get(f"/admin/billing/{row._meta.model_name}/", {"q": SESSION})
        assert found.context["cl"].result_count == 1


@pytest.mark.parametrize("row", ["checkout", "operation", "inboxevent"])
def test_a_session_id_is_not_found_by_its_start(bought, support, row):
    found = support.get(f"/admin/billing/{row}/", {"q": SESSION[:-1]})
    assert found.context["cl"].result_count == 0


@pytest.mark.parametrize(
    "address",
    [
        "billing/checkout/?stripe_session_id__startswith=cs",
        "keystore/consumer/?email__startswith=alice",
        "keystore/apikey/?digest__startswith=a",
        "keystore/apikey/?project__apps__keys__digest__startswith=a",
    ],
)
def test_addresses_ask_nothing_that_no_filter_offers(bought, reader, alices_key, address):
    assert reader.get(f"/admin/{address}").status_code == 400


def test_addresses_of_filters_are_answered(bought, reader):
    answer = reader.get("/admin/billing/checkout/?state__exact=pending&project__id__exact=1")
    assert answer.status_code == 200


def test_mirror_shows_no_sessions():
    assert not admin.site.is_registered(apps.get_model("djstripe", "Session"))
