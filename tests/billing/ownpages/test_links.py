"""A customer comes in by a link that opens once, and stays for an hour."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client

from billing.models import DashboardLink
from config.clock import now
from keystore.models import AuditEntry
from keystore.services import issue_key
from tests.billing.ownpages.conftest import open_as, token_of
from tests.conftest import NOON
from tests.keystore.tokens_cast import accept_tokens, user_client

pytestmark = pytest.mark.django_db
SESSION, OPEN, HOME = "/api/v1/dashboard/session", "/dashboard/open", "/dashboard"


def ask(client, **body):
    return client.post(SESSION, body, format="json")


def test_an_app_gets_a_link_that_opens_the_customers_page(api, alice):
    answer = ask(api, user_id="alice", return_url="https://app.example.com/account")
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    url = answer.json()["url"]
    browser = Client()

    entered = browser.post(OPEN, {"token": token_of(url)})

    assert (entered.status_code, entered["Location"]) == (302, HOME)
    assert entered["Referrer-Policy"] == "no-referrer"
    assert "no-store" in entered["Cache-Control"]
    page = browser.get(HOME)
    assert page.status_code == 200
    assert 'href="https://app.example.com/account"' in page.content.decode()
    entries = AuditEntry.objects.filter(act__startswith="dashboard.").order_by("pk")
    assert list(entries.values_list("act", "consumer_id")) == [
        ("dashboard.link", alice.public_id),
        ("dashboard.open", alice.public_id),
    ]


def test_a_token_gets_its_own_users_link_even_for_a_newcomer(journal):
    accept_tokens(journal)

    answer = ask(user_client("dora", journal))

    assert answer.status_code == 201
    assert DashboardLink.objects.get().consumer.external_id == "dora"


def test_a_token_gets_nobody_elses_link(journal, alice):
    accept_tokens(journal)

    answer = ask(user_client("bob", journal), user_id="alice")

    assert (answer.status_code, DashboardLink.objects.count()) == (404, 0)


def test_a_key_reaches_its_own_project_only(api, mallory):
    assert ask(api, user_id="mallory").status_code == 404
    assert ask(api, user_id=mallory.public_id).status_code == 404


def test_a_key_without_the_scope_is_refused(journal, backend, api, alice):
    key = issue_key(project=journal, owner=backend, scopes=("keys:read",), actor="t", at=NOON)
    api.credentials(HTTP_X_API_KEY=key.plaintext)

    assert ask(api, user_id="alice").json()["code"] == "insufficient_scope"


@pytest.mark.parametrize("url", ["https://evil.example/", "javascript:alert(1)", "//evil.example"])
def test_the_way_back_leads_to_the_project_only(api, alice, url):
    answer = ask(api, user_id="alice", return_url=url)

    assert (answer.status_code, answer.json()["code"]) == (400, "url_not_allowed")


def test_looking_at_a_link_does_not_use_it_up(link):
    scanner, browser = Client(), Client()
    for method in (scanner.head, scanner.get, scanner.get):
        assert method(OPEN, {"token": link}).status_code == 200

    assert "Open my account" in browser.get(OPEN, {"token": link}).content.decode()
    assert browser.post(OPEN, {"token": link})["Location"] == HOME


def test_a_link_opens_in_one_browser_and_a_double_click_is_one(link):
    first, second = Client(), Client()
    for browser in (first, second):
        browser.get(OPEN, {"token": link})
    assert first.post(OPEN, {"token": link}).status_code == 302

    assert first.post(OPEN, {"token": link}).status_code == 302
    assert second.post(OPEN, {"token": link}).status_code == 403
    assert second.get(HOME).status_code == 403
    assert DashboardLink.objects.filter(opened_at=None).count() == 0


def test_a_browser_without_cookies_opens_nothing_twice(link):
    assert Client().post(OPEN, {"token": link}).status_code == 302
    assert Client().post(OPEN, {"token": link}).status_code == 403


def test_a_link_that_was_used_leads_its_own_browser_back(link):
    browser = Client()
    browser.post(OPEN, {"token": link})

    assert browser.get(OPEN, {"token": link})["Location"] == HOME


@pytest.mark.parametrize("token", ["", "forged", "é" * 50, "\ud800"])
def test_a_forged_link_opens_nothing(db, token):
    answer = Client().post(OPEN, {"token": token.encode(errors="replace").decode()})

    assert answer.status_code == 403
    assert "This link opens nothing any more." in answer.content.decode()


def test_a_link_is_good_for_ten_minutes(link):
    with time_machine.travel(now() + timedelta(minutes=10, seconds=1)):
        assert Client().get(OPEN, {"token": link}).status_code == 403
        assert Client().post(OPEN, {"token": link}).status_code == 403


def test_opening_needs_the_forms_token(link):
    browser = Client(enforce_csrf_checks=True)
    browser.get(OPEN, {"token": link})

    assert browser.post(OPEN, {"token": link}).status_code == 403
    assert DashboardLink.objects.filter(opened_at=None).count() == 1


def test_a_visit_lasts_an_hour_however_busy(alices):
    with time_machine.travel(now() + timedelta(minutes=59)):
        assert alices.get(HOME).status_code == 200
    with time_machine.travel(now() + timedelta(minutes=61)):
        answer = alices.get(HOME)

    assert answer.status_code == 403
    assert "Your visit has ended." in answer.content.decode()


def test_the_cookie_is_for_the_server_alone(settings, alice):
    settings.SESSION_COOKIE_SECURE = True
    cookie = open_as(alice).cookies["dashboard"]

    assert (cookie["httponly"], cookie["secure"], cookie["samesite"]) == (True, True, "Lax")


@pytest.mark.parametrize("value", ["", "dsh_1", "ImRzaF8xIg:1abc:forged"])
def test_a_forged_cookie_opens_nothing(db, value):
    browser = Client()
    browser.cookies["dashboard"] = value

    assert browser.get(HOME).status_code == 403


def test_a_link_that_nobody_opened_is_no_visit(alice, link):
    from django.core import signing

    browser = Client()
    unopened = DashboardLink.objects.get().public_id
    browser.cookies["dashboard"] = signing.dumps(unopened, salt="billing.dashboard")

    assert browser.get(HOME).status_code == 403


def test_leaving_ends_the_visit_for_a_copied_cookie_too(alices):
    stolen = Client()
    stolen.cookies["dashboard"] = alices.cookies["dashboard"].value

    assert alices.post("/dashboard/leave").status_code == 200

    assert stolen.get(HOME).status_code == 403


def test_staff_who_sign_a_customer_out_end_their_visits(alices, alice):
    alice.tokens_since = now()
    alice.save(update_fields=["tokens_since"])

    assert alices.get(HOME).status_code == 403


def test_links_that_are_over_are_forgotten_when_the_next_is_made(api, alice):
    ask(api, user_id="alice")
    DashboardLink.objects.update(expires_at=now() - timedelta(days=2))

    ask(api, user_id="alice")

    assert DashboardLink.objects.count() == 1
