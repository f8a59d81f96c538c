"""What staff do to subscriptions, cards and keys: told before the click, done once, on record."""

import re

import pytest

from billing import gateway
from billing.cards import cards_of
from billing.models import Operation, Subscription
from config.clock import now
from entitlements.models import Grant, Plan
from keystore.models import ApiKey, AuditEntry
from keystore.selectors import find_key
from tests.billing.admin.conftest import page_of, say
from tests.billing.conftest import sell
from tests.billing.subscribers import at_stripe, give_card, invoices_of, subscribe
from tests.staff import client_of

SUBSCRIPTION_ACTS = ["change_plan", "cancel_later", "cancel_now", "uncancel", "pause", "resume"]
KEY_ACTS = ["rotate", "disable", "enable", "revoke"]
in_earnest = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stripe_world():
    """A fresh Stripe in this process at the present hour: the admin's clock is the real one."""
    from sandbox import Sandbox

    sandbox = Sandbox(frozen_at=now().replace(microsecond=0), verify=True)
    gateway.connect(sandbox.http_client())
    yield sandbox
    gateway.connect(None)


@pytest.fixture
def subscription(alice, pro_monthly):
    return subscribe(alice, pro_monthly, now)


@pytest.fixture
def team_monthly(journal, stripe_world):
    plan = Plan.objects.create(project=journal, code="team", name="Team", rank=40)
    return sell(plan, stripe_world, amount_minor=4999)


def url_of(row, act):
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{act}/"


def text(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def hidden(answer):
    """What the dialog's hidden fields would send back."""
    found = re.findall(
        r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.content.decode()
    )
    return {name: value for name, value in found if name.startswith("seen")}


@in_earnest
def test_change_shows_the_price_first_and_charges_it_at_the_second_click(
    support, subscription, team_monthly
):
    url = url_of(subscription, "change_plan")
    wish = say(price=team_monthly.public_id, settle="now")
    assert "Team: 49.99 USD per month" in text(support.get(url))

    shown = support.post(url, wish)
    assert "35.00 USD is charged now; the next invoice" in text(shown)
    assert len(invoices_of(subscription)) == 1
    done = support.post(url, {**wish, **hidden(shown)})

    assert done.headers["HX-Redirect"] == url_of(subscription, "change")
    assert invoices_of(subscription)[0] == ("subscription_update", "paid", 3500)
    assert Subscription.objects.get().plan.code == "team"
    entry = AuditEntry.objects.get(act="subscription.change_plan")
    assert (entry.actor, entry.reason) == ("staff:support", "a ticket")


@in_earnest
def test_another_choice_after_the_preview_is_priced_anew(support, subscription, team_monthly):
    url = url_of(subscription, "change_plan")
    shown = support.post(url, say(price=team_monthly.public_id, settle="now"))

    again = support.post(
        url, {**say(price=team_monthly.public_id, settle="later"), **hidden(shown)}
    )

    assert "Nothing is charged now; the next invoice" in text(again)
    assert Operation.objects.filter(kind="update_subscription").count() == 0


@in_earnest
def test_a_preview_that_was_tampered_with_is_shown_anew(support, subscription, team_monthly):
    url = url_of(subscription, "change_plan")
    wish = say(price=team_monthly.public_id, settle="now")
    shown = hidden(support.post(url, wish))

    refused = support.post(url, {**wish, **shown, "seen_due": "1"})

    assert "It would cost 35.00 USD by now" in text(refused)
    assert hidden(refused)["seen_due"] == "3500"
    assert len(invoices_of(subscription)) == 1


@in_earnest
@pytest.mark.parametrize("field", ["seen_at", "seen_due"])
@pytest.mark.parametrize("value", ["x", "-1", "99999999999999"])
def test_nonsense_for_a_preview_charges_nothing(support, subscription, team_monthly, field, value):
    url = url_of(subscription, "change_plan")
    wish = say(price=team_monthly.public_id, settle="now")
    shown = hidden(support.post(url, wish))

    assert support.post(url, {**wish, **shown, field: value}).status_code == 200
    assert len(invoices_of(subscription)) == 1


@in_earnest
@pytest.mark.parametrize(
    ("act", "told"),
    [
        ("cancel_later", "stays until"),
        ("cancel_now", "ends at once, though it is paid until"),
        ("pause", "which is paid, and closes then"),
    ],
)
def test_each_act_says_what_follows_and_does_it(support, alice, subscription, act, told):
    url = url_of(subscription, act)
    end = f"{subscription.current_period_end:%Y-%m-%d %H:%M} UTC"

    opened = text(support.get(url))
    done = support.post(url, say(), HTTP_HX_CURRENT_URL=f"http://testserver{page_of(alice)}")

    assert told in opened
    assert end in opened
    assert done.headers["HX-Redirect"] == page_of(alice)
    found = at_stripe(subscription)
    state = (found["status"], found["cancel_at_period_end"], bool(found["pause_collection"]))
    assert (
        state
        == {
            "cancel_later": ("active", True, False),
            "cancel_now": ("canceled", False, False),
            "pause": ("active", False, True),
        }[act]
    )


@in_earnest
def test_what_was_cancelled_and_paused_goes_on(support, subscription):
    for act in ("cancel_later", "uncancel", "pause"):
        support.post(url_of(subscription, act), say())
    opened = support.get(url_of(subscription, "resume"))
    assert "Nothing is charged now" in text(opened)

    support.post(url_of(subscription, "resume"), say(**hidden(opened)))

    found = at_stripe(subscription)
    assert (found["pause_collection"], found["cancel_at"]) == (None, None)


@in_earnest
def test_a_stripe_that_does_not_answer_is_told_in_the_dialog(support, subscription, stripe_world):
    stripe_world.faults.add("GET /v1/subscriptions/*", "server_error")

    assert "Stripe cannot be read" in text(support.get(url_of(subscription, "resume")))
    assert "Stripe cannot be read" in text(support.post(url_of(subscription, "pause"), say()))


@in_earnest
def test_a_lost_answer_is_told_as_looked_after(support, subscription, stripe_world):
    stripe_world.faults.add("POST /v1/subscriptions/*", "reset_after", times=1)

    answer = support.post(url_of(subscription, "pause"), say(), follow=False)
    page = support.get(answer.headers["HX-Redirect"])

    assert "Stripe has not answered yet; it is looked after" in text(page)


@in_earnest
def test_cards_are_listed_made_the_default_and_let_go(support, alice, subscription):
    holder = alice.stripe_customer
    new = give_card(holder, "pm_card_mastercard", default=False)
    listed = text(support.get(url_of(holder, "cards")))
    assert "visa 4242, expires 12/2034" in listed
    assert "Make default" in listed

    support.post(url_of(holder, "default_card"), say(which_card=new))
    old = next(card.stripe_id for card in cards_of(holder=holder) if card.stripe_id != new)
    support.post(url_of(holder, "let_card_go"), say(which_card=old))

    cards = cards_of(holder=holder)
    assert [(card.stripe_id, card.is_default) for card in cards] == [(new, True)]


@in_earnest
def test_cards_that_cannot_be_listed_do_not_break_the_page(
    support, alice, subscription, stripe_world
):
    stripe_world.faults.add("GET /v1/customers/*", "server_error")

    answer = support.get(url_of(alice.stripe_customer, "cards"))

    assert answer.status_code == 200
    assert "Stripe did not answer" in text(answer)


def test_a_rotated_key_is_sent_by_link_and_collected_once(support, alices_key, settings):
    settings.PUBLIC_URL = ""
    url = url_of(alices_key, "rotate")
    assert "never used so far" in text(support.get(url))

    answer = support.post(url, say(overlap="24", handover="link"))

    link = re.search(r'id="claim-link"[^>]*>([^<]+)<', answer.content.decode())[1]
    new = ApiKey.objects.get(replaces=alices_key)
    told = support.post(link).content.decode()
    plaintext = re.search(r"lk_live_\w+", told)[0]
    assert find_key(plaintext) == new
    assert plaintext not in answer.content.decode()
    assert "The old key works until" in text(answer)
    assert answer["Cache-Control"].startswith("max-age=0")


def test_the_text_is_shown_only_to_those_who_may_issue_keys(support, operator, alices_key):
    url = url_of(alices_key, "rotate")
    wish = say(overlap="0", handover="show")

    assert "is shown to me" not in text(support.get(url))
    support.post(url, wish)
    assert not ApiKey.objects.filter(replaces=alices_key).exists()

    shown = operator.post(url, wish).content.decode()
    assert find_key(re.search(r"lk_live_\w{36}", shown)[0]).replaces == alices_key


def test_a_second_rotation_is_refused_with_what_to_do(support, alices_key):
    wish = say(overlap="24", handover="link")
    support.post(url_of(alices_key, "rotate"), wish)

    assert "rotate that one" in text(support.post(url_of(alices_key, "rotate"), wish))


@pytest.mark.parametrize(
    "wrong", [{"overlap": "5"}, {"handover": "mail"}, {"deed_reason": ""}, {"overlap": ""}]
)
def test_a_wrong_rotation_changes_nothing(support, alices_key, wrong):
    support.post(url_of(alices_key, "rotate"), {**say(overlap="24", handover="link"), **wrong})

    assert ApiKey.objects.count() == 1


def test_a_key_is_switched_off_and_on(support, alices_key):
    support.post(url_of(alices_key, "disable"), say("abuse"))
    assert ApiKey.objects.get().disabled_because == "staff"
    support.post(url_of(alices_key, "enable"), say("cleared"))

    assert ApiKey.objects.get().disabled_at is None
    assert AuditEntry.objects.get(act="key.disable").reason == "abuse"


def test_what_is_not_paid_for_is_not_switched_on(support, alices_key):
    ApiKey.objects.update(disabled_at=now(), disabled_because="payment", unpaid_since=now())

    answer = support.post(url_of(alices_key, "enable"), say())

    assert "when the payment is made good" in text(answer)
    assert ApiKey.objects.get().disabled_because == "payment"


def test_a_key_is_issued_for_a_consumer(operator, alice):
    wish = say(key_name="partner", key_environment="live", ends="30", handover="show")

    shown = operator.post(page_of(alice, "issue_key"), wish).content.decode()

    key = find_key(re.search(r"lk_live_\w{36}", shown)[0])
    assert (key.consumer, key.name, (key.expires_at - now()).days) == (alice, "partner", 29)


@pytest.mark.parametrize("role", ["Support", "Finance", "Operator", "Read-only", "none"])
def test_only_those_who_may_change_subscriptions_and_keys(role, alice, journal, alices_key):
    row = Subscription.objects.create(
        project=journal,
        consumer=alice,
        stripe_subscription_id="sub_1",
        status="active",
        currency="usd",
        started_at=now(),
        synced_at=now(),
    )
    client = client_of(role)
    may = {
        "rotate": {"Support", "Operator"},
        "disable": {"Support", "Operator"},
        "enable": {"Support", "Operator"},
        "revoke": {"Support", "Operator"},
        "cancel_now": {"Support", "Finance", "Operator"},
    }

    for act in [*KEY_ACTS, "cancel_now"]:
        on = row if act == "cancel_now" else alices_key
        expected = 200 if role in may[act] else 403
        assert client.get(url_of(on, act)).status_code == expected, act
    if role in ("Read-only", "none"):
        for act in SUBSCRIPTION_ACTS:
            assert client.post(url_of(row, act), say()).status_code == 403, act


@in_earnest
def test_the_consumer_page_carries_the_buttons_of_its_rows(support, reader, alice, subscription):
    key = ApiKey.objects.get()

    page = support.get(page_of(alice)).content.decode()

    for act in ("change_plan", "cancel_later", "cancel_now", "pause"):
        assert url_of(subscription, act) in page
    for act in ("rotate", "disable"):
        assert url_of(key, act) in page
    assert url_of(subscription, "uncancel") not in page
    assert url_of(alice.stripe_customer, "cards") in page
    assert url_of(subscription, "change_plan") not in reader.get(page_of(alice)).content.decode()


@in_earnest
def test_two_people_who_press_the_same_button_do_it_once(support, operator, subscription):
    for client in (support, operator):
        answer = client.post(url_of(subscription, "cancel_later"), say())

    assert "It ends already" in text(answer)
    assert AuditEntry.objects.filter(act="subscription.cancel_at_period_end").count() == 1
    assert Grant.objects.get().valid_to == Subscription.objects.get().cancel_at
