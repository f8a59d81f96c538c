"""The roles that a fresh database has, and what each may do."""

import pytest
from django.contrib.auth.models import Group

ACTS = {
    "entitlements.give_grant": {"Support", "Operator"},
    "entitlements.give_endless_grant": {"Operator"},
    "entitlements.revoke_grant": {"Support", "Operator"},
    "keystore.revoke_apikey": {"Support", "Operator"},
    "keystore.issue_apikey": {"Operator"},
    "keystore.edit_apikey": {"Operator"},
    "keystore.import_apikey": {"Operator"},
    "keystore.view_keyleak": {"Read-only", "Support", "Finance", "Operator"},
    "keystore.view_personal_data": {"Support", "Finance", "Operator"},
    "keystore.view_consumer": {"Read-only", "Support", "Finance", "Operator"},
    "billing.replay_inboxevent": {"Support", "Operator"},
    "billing.sync_stripecustomer": {"Support", "Finance", "Operator"},
    "billing.view_mirror": {"Support", "Finance", "Operator"},
    "billing.refund_payment": {"Support", "Finance", "Operator"},
    "billing.approve_refund": {"Finance"},
    "billing.change_refundlimit": {"Finance"},
    "keystore.see_as_consumer": {"Support", "Finance", "Operator"},
    "keystore.export_auditentry": {"Finance", "Operator"},
    "keystore.reset_authenticator": {"Operator"},
    "keystore.unlock_login": {"Operator"},
    "entitlements.change_plan": {"Operator"},
    "keystore.add_project": {"Operator"},
}


def permissions_of(group):
    rows = group.permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows}


@pytest.mark.parametrize("permission", ACTS)
def test_act_belongs_to_its_roles(db, permission):
    holders = {group.name for group in Group.objects.all() if permission in permissions_of(group)}

    assert holders == ACTS[permission]


def test_read_only_sees_and_does_nothing_else(db):
    codenames = permissions_of(Group.objects.get(name="Read-only"))

    assert all(codename.split(".")[1].startswith("view_") for codename in codenames)


def test_no_role_may_touch_ledgers_users_or_roles(db):
    forbidden = ("auditentry", "inboxevent", "payment", "refund", "operation", "user", "group")

    for group in Group.objects.all():
        for codename in permissions_of(group):
            act, _, model = codename.split(".")[1].partition("_")
            assert not (act in ("add", "change", "delete") and model in forbidden)


def test_admin_is_checked_without_a_database_to_ask(db, django_assert_num_queries):
    from django.core.checks import run_checks

    with django_assert_num_queries(0):  # `migrate` checks before there are any tables
        run_checks(tags=["admin"])


def test_roles_are_documented(db):
    from pathlib import Path

    from tests.billing.admin.roles_table import roles_table

    page = (Path(__file__).parents[3] / "docs" / "security.md").read_text()

    assert roles_table() in page, f"Put this table into docs/security.md:\n{roles_table()}"
