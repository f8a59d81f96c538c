"""Who may do what: each act refuses whoever lacks its permission, and then nothing changes."""

import pytest

from billing.models import InboxEvent
from entitlements.models import Grant
from keystore.models import ApiKey, AuditEntry
from tests.billing.admin.conftest import page_of, say
from tests.staff import client_of

EVERYBODY = ("Support", "Finance", "Operator", "Read-only", "none")
MAY = {
    "give": {"Support", "Operator"},
    "end_grant": {"Support", "Operator"},
    "take_feature": {"Support", "Operator"},
    "end_key": {"Support", "Operator"},
    "sync": {"Support", "Finance", "Operator"},
}
TABLES = [
    "billing/billingpolicy",
    "billing/checkout",
    "billing/creditnote",
    "billing/dispute",
    "billing/drift",
    "billing/inboxevent",
    "billing/invoice",
    "billing/operation",
    "billing/payment",
    "billing/price",
    "billing/purchase",
    "billing/reconciliationrun",
    "billing/refund",
    "billing/refundbudget",
    "billing/refundlimit",
    "billing/refundrequest",
    "billing/stripecustomer",
    "billing/subscription",
    "entitlements/feature",
    "entitlements/grant",
    "entitlements/plan",
    "keystore/api",
    "keystore/apikey",
    "keystore/app",
    "keystore/auditentry",
    "keystore/consumer",
    "keystore/project",
]
EDITABLE = {
    "billing/billingpolicy",
    "entitlements/feature",
    "entitlements/plan",
    "keystore/api",
    "keystore/app",
    "keystore/project",
}
OF_FINANCE = {"billing/refundbudget", "billing/refundlimit"}


def state():
    return (
        list(Grant.objects.values_list("pk", "revoked_at")),
        list(ApiKey.objects.values_list("pk", "revoked_at")),
        list(InboxEvent.objects.values_list("pk", "state")),
        AuditEntry.objects.count(),
    )


@pytest.mark.parametrize("role", EVERYBODY)
@pytest.mark.parametrize("act", MAY)
def test_act_is_refused_without_its_permission(alice, given, alices_key, act, role):
    before = state()
    client = client_of(role)

    statuses = {
        client.get(page_of(alice, act)).status_code,
        client.post(page_of(alice, act), say("", wish="w")).status_code,
    }

    assert statuses == ({200} if role in MAY[act] else {403})
    assert state() == before


@pytest.mark.parametrize("role", EVERYBODY)
def test_buttons_are_those_of_the_role(alice, role):
    page = client_of(role).get(page_of(alice)).content.decode()

    for act, roles in MAY.items():
        assert (page_of(alice, act) in page) == (role in roles)


@pytest.mark.parametrize("role", EVERYBODY)
def test_replay_is_refused_without_its_permission(parked, role):
    client = client_of(role)

    answer = client.post(f"/admin/billing/inboxevent/{parked.pk}/replay_one/", say())

    parked.refresh_from_db()
    allowed = role in ("Support", "Operator")
    assert answer.status_code == (200 if allowed else 403)
    assert parked.state == ("pending" if allowed else "parked")


@pytest.mark.parametrize("role", ["Support", "Finance", "Read-only", "none"])
def test_app_keys_are_issued_by_operators_only(backend, role):
    answer = client_of(role).post(
        f"/admin/keystore/app/{backend.pk}/issue_app_key/",
        say(key_environment="live", key_scopes=["keys:read"]),
    )

    assert answer.status_code == 403
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize("table", TABLES)
def test_every_role_reads_every_list(db, table):
    for role in ("Support", "Finance", "Operator", "Read-only"):
        assert client_of(role).get(f"/admin/{table}/").status_code == 200
    assert client_of("none").get(f"/admin/{table}/").status_code == 403


@pytest.mark.parametrize("table", sorted(set(TABLES) - EDITABLE - OF_FINANCE))
def test_nobody_adds_to_what_services_write(superuser, table):
    assert superuser.get(f"/admin/{table}/add/").status_code == 403
    assert superuser.post(f"/admin/{table}/add/", {}).status_code == 403


@pytest.mark.parametrize("table", sorted(EDITABLE))
def test_operator_adds_what_people_own(operator, support, table):
    assert operator.get(f"/admin/{table}/add/").status_code == 200
    assert support.get(f"/admin/{table}/add/").status_code == 403


def test_superuser_can_neither_change_nor_delete_ledgers(superuser, alice, given, parked):
    entry = AuditEntry.objects.get()
    before = state()

    for address in (
        f"/admin/keystore/auditentry/{entry.pk}/",
        f"/admin/billing/inboxevent/{parked.pk}/",
        f"/admin/entitlements/grant/{given.pk}/",
        f"/admin/keystore/consumer/{alice.pk}/",
    ):
        assert superuser.get(f"{address}change/").status_code == 200
        assert superuser.post(f"{address}change/", {"reason": "x"}).status_code == 403
        assert superuser.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    assert state() == before


@pytest.mark.parametrize("table", ["billing/inboxevent", "keystore/auditentry"])
def test_superuser_cannot_delete_from_the_list(superuser, given, parked, table):
    before = state()
    rows = [*InboxEvent.objects.all(), *AuditEntry.objects.all()]

    superuser.post(
        f"/admin/{table}/",
        {"action": "delete_selected", "_selected_action": [r.pk for r in rows], "post": "yes"},
    )

    assert state() == before


def test_action_needs_the_csrf_token(alice, pro, support):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.cookies = support.cookies

    answer = strict.post(page_of(alice, "give"), say(what=f"plan:{pro.pk}", wish="w"))

    assert answer.status_code == 403
    assert Grant.objects.count() == 0
