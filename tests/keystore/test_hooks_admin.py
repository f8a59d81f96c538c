"""Hook endpoints, messages and deliveries in the admin."""

import re

import pytest

from keystore import hooks
from keystore.models import AuditEntry, HookDelivery, HookEndpoint
from keystore.outbox import tell
from keystore.seal import unseal
from tests.conftest import NOON
from tests.staff import client_of

URL = "https://receiver.example/hooks"
ADMIN = "/admin/keystore"
SAID = {"_form_submitted": "on", "deed_reason": "asked for"}


@pytest.fixture
def operator(db):
    return client_of("Operator")


@pytest.fixture
def endpoint(journal):
    made = hooks.make_endpoint(project=journal, url=URL, actor="staff:sam", at=NOON)
    return made.endpoint


@pytest.fixture
def delivery(endpoint, alice):
    tell(
        project=endpoint.project,
        kind="key.created",
        data={"email": "alice@example.com"},
        consumer=alice,
        at=NOON,
    )
    row = HookDelivery.objects.get()
    row.tries.create(number=1, status=500, milliseconds=7, error="answered 500", answer="oops <b>")
    return row


def fail(delivery):
    HookDelivery.objects.filter(pk=delivery.pk).update(state="failed", attempts=10)


def add(client, journal, **more):
    wish = {**SAID, "project": journal.pk, "url": URL, "kinds": ["key.created"], **more}
    return client.post(f"{ADMIN}/hookendpoint/add_endpoint/", wish)


def act(client, endpoint, name, **more):
    return client.post(f"{ADMIN}/hookendpoint/{endpoint.pk}/{name}/", {**SAID, **more})


def test_endpoint_is_added_and_its_secret_shown_once(operator, journal):
    answer = add(operator, journal)

    secret = re.search(r"whsec_[\w+/=]+", answer.content.decode()).group(0)
    endpoint = HookEndpoint.objects.get()
    assert unseal(endpoint.sealed_secret) == secret
    assert "no-store" in answer.headers["Cache-Control"]
    for page in ("hookendpoint/", f"hookendpoint/{endpoint.pk}/change/"):
        assert secret not in operator.get(f"{ADMIN}/{page}").content.decode()
    assert AuditEntry.objects.get(act="hook.make").actor == "staff:operator"


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"url": "https://10.0.0.1/"}, "not a public address"),
        ({"url": ""}, "This field is required"),
        ({"deed_reason": ""}, "This field is required"),
        ({"kinds": ["key.lost"]}, "key.lost is not one of the available choices"),
        ({"project": "0"}, "Select a valid choice"),
    ],
)
def test_bad_wish_is_refused_in_the_dialog(operator, journal, wish, said):
    answer = add(operator, journal, **wish)

    assert said in answer.content.decode()
    assert HookEndpoint.objects.count() == 0


def test_dialog_begins_with_the_present_terms_and_changes_them(operator, endpoint):
    shown = operator.get(f"{ADMIN}/hookendpoint/{endpoint.pk}/edit/").content.decode()
    assert f'value="{URL}"' in shown

    answer = act(operator, endpoint, "edit", url=f"{URL}/2", kinds=["refund.created"])

    endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.kinds) == (f"{URL}/2", ["refund.created"])
    assert answer.headers["HX-Redirect"] == f"{ADMIN}/hookendpoint/{endpoint.pk}/change/"


def test_secret_is_rolled_once_a_day(operator, endpoint):
    first = act(operator, endpoint, "roll").content.decode()
    second = act(operator, endpoint, "roll").content.decode()

    endpoint.refresh_from_db()
    assert unseal(endpoint.sealed_secret) in first
    assert "less than 24 hours ago" in second


def test_endpoint_is_switched_off_and_on(operator, endpoint):
    act(operator, endpoint, "switch_off")
    endpoint.refresh_from_db()
    assert endpoint.disabled_because == "asked for"

    act(operator, endpoint, "switch_on")
    endpoint.refresh_from_db()
    assert endpoint.disabled_at is None


def test_test_message_is_sent(operator, endpoint):
    act(operator, endpoint, "send_test")

    assert HookDelivery.objects.get().message.kind == "test"


def test_everything_that_failed_is_redelivered(operator, endpoint, delivery):
    fail(delivery)

    act(operator, endpoint, "redeliver_failed", since="2026-03-01T00:00")

    delivery.refresh_from_db()
    assert delivery.state == "pending"


def test_one_delivery_is_redelivered(operator, delivery):
    fail(delivery)

    operator.post(f"{ADMIN}/hookdelivery/{delivery.pk}/redeliver/", SAID)

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("pending", 0)


def test_selection_is_redelivered_after_a_reason_was_given(operator, delivery):
    fail(delivery)
    wish = {"action": "redeliver_selected", "_selected_action": [delivery.pk], "index": "0"}

    page = operator.post(f"{ADMIN}/hookdelivery/", wish).content.decode()
    assert "1 message will be sent again" in page
    operator.post(f"{ADMIN}/hookdelivery/", {**wish, "deed_reason": "was down"})

    delivery.refresh_from_db()
    assert delivery.state == "pending"
    assert AuditEntry.objects.get(act="hook.redeliver").reason == "was down"


def test_selection_says_what_was_refused(operator, endpoint, delivery):
    fail(delivery)
    hooks.disable_endpoint(endpoint=endpoint, actor="staff:sam", reason="moves", at=NOON)
    wish = {"action": "redeliver_selected", "_selected_action": [delivery.pk], "index": "0"}

    page = operator.post(f"{ADMIN}/hookdelivery/", {**wish, "deed_reason": "x"}, follow=True)

    assert "0 of 1 deliveries" in page.content.decode()
    assert "switched off" in page.content.decode()


def test_delivery_shows_its_tries_and_the_person_when_asked(operator, delivery):
    before = operator.get(f"{ADMIN}/hookdelivery/{delivery.pk}/change/").content.decode()
    assert "answered 500" in before
    assert "alice@example.com" not in before

    operator.post(f"/admin/reveal/keystore.hookdelivery/{delivery.pk}/")
    page = operator.get(f"{ADMIN}/hookdelivery/{delivery.pk}/change/").content.decode()

    assert "oops &lt;b&gt;" in page
    assert "alice@example.com" in page


def test_payload_and_answer_are_hidden_without_the_right_to_see_people(delivery):
    reader = client_of("Read-only")

    for page in (
        f"hookdelivery/{delivery.pk}/change/",
        f"outboxmessage/{delivery.message.pk}/change/",
        "hookdelivery/",
        "outboxmessage/",
    ):
        answer = reader.get(f"{ADMIN}/{page}")
        assert answer.status_code == 200
        assert "alice@example.com" not in answer.content.decode()
        assert "oops" not in answer.content.decode()


@pytest.mark.parametrize(
    "deed", ["edit", "roll", "switch_off", "switch_on", "send_test", "redeliver_failed"]
)
@pytest.mark.parametrize("role", ["Support", "Finance", "Read-only", "none"])
def test_only_operators_act_on_endpoints(role, deed, endpoint):
    answer = act(client_of(role), endpoint, deed, url=URL)

    assert answer.status_code == 403
    assert AuditEntry.objects.exclude(act="hook.make").count() == 0


@pytest.mark.parametrize("role", ["Support", "Finance", "Read-only", "none"])
def test_only_operators_add_and_redeliver(role, journal, delivery):
    client = client_of(role)

    answers = [
        add(client, journal, url=f"{URL}/2").status_code,
        client.post(f"{ADMIN}/hookdelivery/{delivery.pk}/redeliver/", SAID).status_code,
    ]

    assert answers == [403, 403]
    assert HookEndpoint.objects.count() == 1


@pytest.mark.parametrize("page", ["hookendpoint", "hookdelivery", "outboxmessage"])
def test_nobody_edits_rows_by_hand(page, delivery):
    client = client_of("superuser")

    assert client.get(f"{ADMIN}/{page}/add/").status_code == 403
    assert client.get(f"{ADMIN}/{page}/?q=hook").status_code == 200


def test_unknown_endpoint_is_not_found(operator, db):
    assert operator.post(f"{ADMIN}/hookendpoint/99/roll/", SAID).status_code == 404
