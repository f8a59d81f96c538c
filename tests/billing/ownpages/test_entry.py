"""The pages opened by a token: once, fresh, from the project's own pages, as long as it lasts."""

from datetime import timedelta

import pytest
from django.test import Client

from billing.models import DashboardLink
from config.clock import now
from keystore.models import AuditEntry, Consumer, TokenIssuer
from tests.keystore.tokens_cast import accept_tokens, token_for
from tests.together import at_once

HERE = "https://app.example.com"
PATH = "/dashboard/enter"


@pytest.fixture
def issuer(journal):
    journal.allowed_origins = [HERE]
    journal.save(update_fields=["allowed_origins"])
    return accept_tokens(journal)


@pytest.fixture
def token(journal, alice, issuer):
    return token_for("alice", journal)


def at(minutes):
    return int((now() + timedelta(minutes=minutes)).timestamp())


def send(token, browser=None, origin=HERE, **more):
    headers = {"Origin": origin} if origin else {}
    browser = browser or Client(enforce_csrf_checks=True)
    return browser.post(PATH, {"token": token}, headers={**headers, **more})


def is_in(browser):
    return browser.get("/dashboard").status_code == 200


def test_a_form_of_the_project_opens_the_pages(token, alice):
    browser = Client(enforce_csrf_checks=True)

    answer = send(token, browser)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard")
    assert (answer.headers["Cache-Control"].count("no-store"), is_in(browser)) == (1, True)
    entry = AuditEntry.objects.get(act="dashboard.open")
    assert entry.actor == f"user:{alice.public_id}"


def test_a_program_sends_it_as_a_header(token):
    browser = Client(enforce_csrf_checks=True)

    answer = browser.post(PATH, headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, is_in(browser)) == (303, True)


@pytest.mark.parametrize(
    "origin", ["", "null", "https://evil.example", "http://app.example.com", f"{HERE}.evil.example"]
)
def test_another_site_signs_nobody_in(token, origin):
    browser = Client()

    assert send(token, browser, origin).status_code == 401
    assert not is_in(browser)
    assert not DashboardLink.objects.exists()


def test_a_header_with_a_foreign_origin_is_refused(token):
    headers = {"Authorization": f"Bearer {token}", "Origin": "https://evil.example"}

    assert Client().post(PATH, headers=headers).status_code == 401


def test_a_token_in_the_address_opens_nothing(token):
    browser = Client()

    assert browser.get(f"{PATH}?token={token}").status_code == 405
    refused = browser.post(f"{PATH}?token={token}", headers={"Origin": HERE})
    assert (refused.status_code, is_in(browser)) == (401, False)


def test_sent_again_it_opens_no_second_visit(token):
    first, second = Client(), Client()
    send(token, first)

    again, stolen = send(token, first), send(token, second)

    assert (again.status_code, stolen.status_code) == (303, 303)
    assert (is_in(first), is_in(second)) == (True, False)
    assert DashboardLink.objects.count() == 1


def test_what_is_not_signed_makes_no_second_token(token):
    head, body, signature = token.split(".")
    first, second = Client(), Client()
    send(token, first)

    send(f"{head}.{body}.{signature}=", second)  # other text, the same signature

    assert not is_in(second)


def test_a_jti_counts_once_whoever_signed_it_again(journal, alice, issuer):
    first, second = Client(), Client()

    send(token_for("alice", journal, jti="one"), first)
    send(token_for("alice", journal, jti="one", exp=at(9)), second)

    assert (is_in(first), is_in(second)) == (True, False)


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_one_visit(token):
    def open_one():
        return send(token).cookies.get("dashboard") is not None

    assert sorted(at_once(open_one, times=4)) == [False, False, False, True]


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": at(-11), "exp": at(9)},  # signed too long ago
        {"iat": at(-9), "exp": at(-1)},  # over
        {"aud": "another"},
        {"iss": "https://other.example"},
    ],
)
def test_a_bad_token_opens_nothing(journal, alice, issuer, claims):
    browser = Client()

    answer = send(token_for("alice", journal, **claims), browser)

    assert (answer.status_code, is_in(browser)) == (401, False)
    assert "could not be opened" in answer.content.decode()


def test_a_visit_ends_with_its_token(journal, alice, issuer):
    browser = Client()
    send(token_for("alice", journal), browser)
    assert is_in(browser)

    DashboardLink.objects.update(until=now())

    assert not is_in(browser)


@pytest.mark.parametrize("change", ["disabled_at", "tokens_since"])
def test_an_issuer_that_is_trusted_no_more_ends_the_visit_at_once(token, change):
    browser = Client()
    send(token, browser)
    assert is_in(browser)

    TokenIssuer.objects.update(**{change: now()})

    assert not is_in(browser)


def test_a_newcomer_is_registered_and_sees_their_own(journal, issuer):
    browser = Client()

    send(token_for("zoe", journal, email="zoe@example.com"), browser)

    made = Consumer.objects.get(external_id="zoe")
    assert (made.project, made.email, is_in(browser)) == (journal, "zoe@example.com", True)


def test_many_tries_from_one_address_are_slowed(issuer):
    browser = Client(REMOTE_ADDR="203.0.113.77")

    statuses = [send("eyJ.eyJ.x", browser).status_code for _ in range(60)]

    assert statuses[:30] == [401] * 30
    assert 429 in statuses[30:]
