"""Every address and every bulk action of the admin, for every role: tests/admin_access.toml says
who gets in, and whatever is not in it fails here.
"""

import re
import tomllib
from pathlib import Path

import pytest
from django.contrib import admin
from django.template.response import SimpleTemplateResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver
from django.views.generic import RedirectView

from tests.addresses import patterns
from tests.conftest import NOON
from tests.staff import client_of

TABLE = Path(__file__).parent / "admin_access.toml"
ROLES = {
    "N": "none",
    "R": "Read-only",
    "S": "Support",
    "F": "Finance",
    "O": "Operator",
    "A": "superuser",
}
STANDARD = re.compile(r"(?P<table>[a-z]+_[a-z]+)_(?P<page>changelist|add|change|delete|history)")
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# Before any login; each has tests of its own.
OPEN = {"login", "logout", "jsi18n", "staff-locked"}
HOW_TO = """
In tests/admin_access.toml, say on purpose who gets in: N staff without a role, R Read-only,
S Support, F Finance, O Operator, A superuser; "" is nobody. Now it is:
{now}
A page that looks for its row before it asks for the permission needs that row: add it to `cast` in
tests/test_admin_access.py.
"""


def admin_patterns() -> dict[str, str]:
    """Every named pattern below /admin/, by name."""
    return {
        one.name: address
        for address, one in patterns(get_resolver().url_patterns)
        if address.startswith("admin/") and one.name
    }


def expected() -> dict[str, dict[str, str]]:
    """Name of an address -> method -> letters of those who get in."""
    written = tomllib.loads(TABLE.read_text())
    rows: dict[str, dict[str, str]] = {}
    for name, who in written["pages"].items():
        rows[name] = {"get": who, "post": who} if isinstance(who, str) else who
    for table, (view, add, change, delete) in written["tables"].items():
        start = table.replace(".", "_")
        rows[f"{start}_changelist"] = {"get": view}
        rows[f"{start}_change"] = {"get": view, "post": change}
        rows[f"{start}_add"] = {"get": add, "post": add}
        rows[f"{start}_delete"] = {"get": delete, "post": delete}
    return rows


def expected_actions() -> dict[str, str]:
    actions: dict[str, str] = tomllib.loads(TABLE.read_text())["actions"]
    return actions


def registered_actions() -> set[str]:
    return {
        f"{page.opts.label_lower}.{name}"
        for page in admin.site._registry.values()
        for name in (action if isinstance(action, str) else action.__name__
                     for action in page.actions or ())
    }  # fmt: skip


@pytest.fixture
def cast(alice, backend):
    """One row of each table that has pages of its own, as `app_model` -> row."""
    from axes.models import AccessAttempt
    from django.contrib.auth.models import Group, User

    from billing.models import InboxEvent, Payment, ReconciliationRun, Subscription
    from entitlements.models import GrantBatch, Plan
    from entitlements.services import give_grant
    from keystore.models import Authenticator, HookEndpoint
    from keystore.services import issue_key

    project = alice.project
    pro = Plan.objects.create(project=project, code="pro", name="Pro")
    own = {"project": project, "consumer": alice, "synced_at": NOON, "currency": "usd"}
    rows = [
        alice,
        backend,
        project,
        pro,
        User.objects.create_user("bystander", is_staff=True),
        Group.objects.get(name="Read-only"),
        issue_key(project=project, owner=alice, actor="system", at=NOON).key,
        give_grant(
            consumer=alice, plan=pro, valid_from=None, valid_to=None, reason="x",
            granted_by="staff:sam", idempotency_key="x", actor="staff:sam", at=NOON,
        ),
        Payment.objects.create(
            **own, stripe_charge_id="ch_1", status="succeeded", captured_minor=500, created_at=NOON
        ),
        Subscription.objects.create(
            **own, stripe_subscription_id="sub_1", status="active", started_at=NOON
        ),
        InboxEvent.objects.create(
            event_id="evt_1", type="x", payload={}, livemode=False, state="parked"
        ),
        AccessAttempt.objects.create(username="x", failures_since_start=5),
        HookEndpoint.objects.create(project=project, url="https://h.example/", sealed_secret=b"x"),
        ReconciliationRun.objects.create(started_by="staff:sam"),
        GrantBatch.objects.create(project=project, reason="x", started_by="staff:sam"),
    ]  # fmt: skip
    rows.append(Authenticator.objects.create(user=rows[4], name="x", sealed=b"", confirmed=True))
    return {f"{row._meta.app_label}_{row._meta.model_name}": row for row in rows}


def addresses(cast) -> dict[str, str]:
    """Name -> a path that can be asked."""
    return {
        name: f"/{_filled(pattern, cast)}"
        for name, pattern in admin_patterns().items()
        if name not in OPEN and not name.endswith("_history")
    }


def _filled(pattern: str, cast) -> str:
    """The pattern with the row that it is about; what has no row is asked for row 0."""
    from django.contrib.contenttypes.models import ContentType

    if pattern.startswith("admin/^"):
        return "admin/keystore/"
    table = "_".join(pattern.split("/")[1:3])
    consumer = cast["keystore_consumer"]
    if pattern.startswith("admin/r/"):
        return f"admin/r/{ContentType.objects.get_for_model(consumer).pk}/{consumer.pk}/"
    row = cast.get(table)
    values = {"label": "keystore.consumer", "pk": str((row or consumer).pk)}
    return PARAMETER.sub(
        lambda found: values.get(found.group(1), str(row.pk if row is not None else 0)), pattern
    )


def ask(client: Client, method: str, path: str) -> int:
    client.raise_request_exception = False
    answer = getattr(client, method)(path)
    if answer.streaming:
        b"".join(answer.streaming_content)
    status = answer.status_code
    assert status < 500, f"{method} {path} fails with {status}"
    return status


def observed(client: Client, cast) -> dict[tuple[str, str], bool]:
    """Whether the client gets in, for each address and method that exist."""
    found = standard_pages(client)
    for name, path in addresses(cast).items():
        if (name, "get") in found:
            continue
        for method in ("get", "post"):
            status = ask(client, method, path)
            if status != 405:
                found[name, method] = gets_in(path, status)
    return found


def standard_pages(client: Client) -> dict[tuple[str, str], bool]:
    """What Django asks of each table's page before it lists, shows, adds, changes or deletes."""
    from django.contrib.auth.models import User

    request = RequestFactory().get("/admin/")
    request.user = User.objects.get(pk=client.session["_auth_user_id"])
    found = {}
    for page in admin.site._registry.values():
        start = f"{page.opts.app_label}_{page.opts.model_name}"
        asked = {
            f"{start}_changelist": {"get": page.has_view_permission(request)},
            f"{start}_change": {
                "get": page.has_view_permission(request),
                "post": page.has_change_permission(request),
            },
            f"{start}_add": dict.fromkeys(("get", "post"), page.has_add_permission(request)),
            f"{start}_delete": dict.fromkeys(("get", "post"), page.has_delete_permission(request)),
        }
        for name in asked.keys() & admin_patterns().keys():
            found |= {(name, method): may for method, may in asked[name].items()}
    return found


def gets_in(path: str, status: int) -> bool:
    """A row that is not in the cast is missed by whoever may look, and 403 for others."""
    return status != 403 and (status != 404 or "/0/" in path)


def test_every_address_has_its_row(cast):
    unwritten = set(addresses(cast)) - set(expected())
    now = ""
    if unwritten:
        clients = {letter: client_of(role) for letter, role in ROLES.items()}
        for name in sorted(unwritten):
            path = addresses(cast)[name]
            who = {
                method: "".join(
                    letter
                    for letter, client in clients.items()
                    if (status := ask(client, method, path)) != 405 and gets_in(path, status)
                )
                for method in ("get", "post")
            }
            now += f'{name} = {{ get = "{who["get"]}", post = "{who["post"]}" }}   # {path}\n'

    assert not unwritten, HOW_TO.format(now=now)


def test_every_row_has_its_address(cast):
    standard = {name for name in expected() if STANDARD.fullmatch(name)}

    assert set(expected()) - standard - set(admin_patterns()) == set()
    for table in tomllib.loads(TABLE.read_text())["tables"]:
        assert f"{table.replace('.', '_')}_changelist" in admin_patterns()


def test_every_address_without_a_name_only_sends_on():
    unnamed = [
        one.callback
        for address, one in patterns(get_resolver().url_patterns)
        if address.startswith("admin/") and not one.name
    ]

    assert all(
        getattr(view, "view_class", None) is RedirectView or view.__name__ == "catch_all_view"
        for view in unnamed
    )


@pytest.fixture
def _unrendered(monkeypatch):
    """Who gets in is decided before a page is drawn, which takes ten times as long."""
    monkeypatch.setattr(SimpleTemplateResponse, "rendered_content", "")


@pytest.mark.usefixtures("_unrendered")
@pytest.mark.parametrize("letter", ROLES)
def test_role_gets_in_where_the_table_says_and_nowhere_else(cast, letter):
    rows = expected()
    wrong = {
        f"{method} {name}": "gets in" if is_in else "is refused"
        for (name, method), is_in in observed(client_of(ROLES[letter]), cast).items()
        if name in rows and method in rows[name] and is_in != (letter in rows[name][method])
    }

    assert wrong == {}, f"{ROLES[letter]}: {wrong}"


def test_a_stranger_gets_in_nowhere(cast, client):
    wrong = {}
    for name, path in addresses(cast).items():
        for method in ("get", "post"):
            answer = getattr(client, method)(path)
            sent_away = answer.status_code == 302 and "/admin/login/" in answer["Location"]
            if not sent_away and answer.status_code not in (403, 404, 405):
                wrong[f"{method} {name}"] = answer.status_code

    assert wrong == {}


def test_every_bulk_action_has_its_row():
    missing = registered_actions() - set(expected_actions())

    assert missing == set(), HOW_TO.format(now="\n".join(f'"{name}" = "..."' for name in missing))
    assert (
        set(expected_actions())
        - registered_actions()
        - {name for name in expected_actions() if name.endswith(".delete_selected")}
        == set()
    )


@pytest.mark.parametrize("letter", ROLES)
def test_bulk_actions_are_those_of_the_role(db, letter):
    from django.contrib.auth.models import User

    client_of(ROLES[letter])
    request = RequestFactory().get("/admin/")
    request.user = User.objects.get()
    offered = {
        f"{page.opts.label_lower}.{name}"
        for page in admin.site._registry.values()
        if page.has_view_permission(request)
        for name in page.get_actions(request)
    }

    assert offered == {name for name, who in expected_actions().items() if letter in who}


def test_no_page_has_a_history_but_those_of_rights():
    """The audit trail tells more, and masks persons."""
    from django.contrib.admin import ModelAdmin

    open_ones = {
        page.opts.label_lower
        for page in admin.site._registry.values()
        if type(page).history_view is ModelAdmin.history_view and page.opts.app_label != "djstripe"
    }

    assert open_ones == {"auth.user", "auth.group"}


LEDGERS = [
    "keystore.auditentry", "keystore.outboxmessage", "keystore.hookdelivery", "keystore.jobrun",
    "billing.inboxevent", "billing.payment", "billing.refund", "billing.invoice",
    "billing.operation", "billing.subscription", "billing.drift", "billing.refundrequest",
    "entitlements.grant", "axes.accessattempt", "axes.accesslog",
]  # fmt: skip


@pytest.mark.parametrize("table", LEDGERS)
def test_nobody_at_all_edits_a_ledger(table):
    rows = tomllib.loads(TABLE.read_text())["tables"]

    assert rows.get(table, ["", "", "", ""])[1:] == ["", "", ""]
