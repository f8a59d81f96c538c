"""dj-stripe's admin is gone: its objects are read, and nothing leads to an act."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.utils.timezone import now

from tests.staff import client_of

pytestmark = pytest.mark.django_db(transaction=True)

CANCEL = "/admin/djstripe/subscription/action/_cancel/subscription/"
SYNC_ALL = "/admin/djstripe/subscription/action/_sync_all_instances/subscription/"


@pytest.fixture
def mirrored(stripe_world, alice, pro_monthly):
    """alice's subscription at Stripe and in the mirror."""
    from billing import gateway
    from billing.models import StripeCustomer
    from billing.sync import sync_customer

    customer = gateway.write("/v1/customers", {}, idempotency_key="t1")
    StripeCustomer.objects.create(
        project=alice.project, consumer=alice, stripe_customer_id=customer["id"]
    )
    gateway.write(
        "/v1/subscriptions",
        {
            "customer": customer["id"],
            "items": [{"price": pro_monthly.stripe_price_id}],
            "trial_period_days": 30,
        },
        idempotency_key="t2",
    )
    sync_customer(stripe_customer_id=customer["id"], clock=now, full=True)
    return apps.get_model("djstripe", "Subscription").objects.get()


@pytest.mark.parametrize("role", ["none", "Support", "superuser"])
@pytest.mark.parametrize("address", [CANCEL, SYNC_ALL])
def test_hole_is_closed_for_everybody(mirrored, address, role):
    from billing import gateway

    client = client_of(role)
    asked = {"_selected_action": [mirrored.pk], "action": "_cancel"}

    statuses = {client.get(address).status_code, client.post(address, asked).status_code}

    assert statuses == {404}
    assert gateway.read(f"/v1/subscriptions/{mirrored.id}")["status"] == "trialing"


@pytest.mark.parametrize("act", ["_cancel", "_resync_instances", "delete_selected"])
def test_list_has_no_actions(mirrored, superuser, act):
    from billing import gateway

    superuser.post(
        "/admin/djstripe/subscription/", {"action": act, "_selected_action": [mirrored.pk]}
    )

    assert gateway.read(f"/v1/subscriptions/{mirrored.id}")["status"] == "trialing"
    assert type(mirrored).objects.filter(pk=mirrored.pk).exists()


def test_superuser_reads_every_object_as_stripe_gave_it(mirrored, superuser):
    for model in apps.get_app_config("djstripe").get_models():
        if admin.site.is_registered(model):
            base = f"/admin/djstripe/{model._meta.model_name}/"
            assert superuser.get(base, {"q": "x_1"}).status_code == 200
            for row in model.objects.all():
                assert f"{row.id}" in superuser.get(f"{base}{row.pk}/change/").content.decode()


def test_nothing_of_the_mirror_is_added_changed_or_deleted(mirrored, superuser):
    base = "/admin/djstripe/subscription/"

    assert superuser.get(f"{base}add/").status_code == 404
    assert superuser.post(f"{base}{mirrored.pk}/delete/", {"post": "yes"}).status_code == 404
    superuser.post(f"{base}{mirrored.pk}/change/", {"stripe_data": "{}"})

    unchanged = type(mirrored).objects.get()
    assert unchanged.stripe_data == mirrored.stripe_data


@pytest.mark.parametrize("role", ["none", "Read-only"])
def test_mirror_is_for_those_who_may_see_persons(mirrored, role):
    client = client_of(role)

    assert client.get("/admin/djstripe/subscription/").status_code == 403
    assert client.get(f"/admin/djstripe/subscription/{mirrored.pk}/change/").status_code == 403


def test_no_page_of_dj_stripe_is_its_own():
    from billing.admin.mirror import MirrorAdmin

    own = [
        page
        for model, page in admin.site._registry.items()
        if model._meta.app_label == "djstripe" and type(page) is not MirrorAdmin
    ]
    assert own == []
