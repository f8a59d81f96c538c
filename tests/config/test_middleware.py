import logging
import re

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.http import HttpResponse
from django.test import RequestFactory
from psycopg import errors as postgres

from config import middleware, migration_state
from keystore.correlation import current_request_id


def call(path="/api/v1/x", *, get_response, **headers):
    request = RequestFactory().get(path, headers=headers)
    return middleware.RequestIdMiddleware(get_response)(request)


def undefined_table():
    error = ProgrammingError('relation "billing_inboxevent" does not exist')
    error.__cause__ = postgres.UndefinedTable()
    return error


def test_sane_request_id_is_kept_bound_and_echoed():
    seen = []

    response = call(
        get_response=lambda request: HttpResponse(seen.append(current_request_id())),
        **{"X-Request-Id": "abc-1.2_3"},
    )

    assert seen == ["abc-1.2_3"]
    assert response["X-Request-Id"] == "abc-1.2_3"
    assert current_request_id() == ""


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\nb", "<script>", "ä"])
def test_other_request_id_is_replaced(given):
    response = call(get_response=lambda request: HttpResponse(), **{"X-Request-Id": given})

    assert re.fullmatch(r"req_[0-9a-f]{32}", response["X-Request-Id"])


def test_every_request_leaves_one_line_without_its_query(client, caplog):
    caplog.set_level(logging.INFO, logger="latchkey.request")

    client.get("/docs/errors?token=lk_live_secret")

    (record,) = [record for record in caplog.records if record.name == "latchkey.request"]
    assert record.getMessage() == "GET /docs/errors 200"
    assert (record.method, record.path, record.status) == ("GET", "/docs/errors", 200)
    assert record.ms >= 0


def test_probes_stay_out_of_the_log(client, caplog):
    caplog.set_level(logging.INFO, logger="latchkey.request")

    client.get("/live")

    assert caplog.records == []


def test_page_runs_and_loads_our_own_files_only(client, settings):
    settings.STRIPE_PAGE_ORIGINS = ["https://checkout.stripe.com"]

    policy = client.get("/docs/errors/missing")["Content-Security-Policy"]

    assert "default-src 'none'" in client.get("/")["Content-Security-Policy"]
    assert "form-action 'self' https://checkout.stripe.com" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/", "/billing/return", "/api/v1/entitlements", "/administrator"])
def test_nothing_unsafe_outside_the_admin_and_the_reference(path):
    assert "unsafe" not in middleware.policy_for(path)


def test_admin_may_evaluate_but_not_inline_scripts():
    policy = middleware.policy_for("/admin/login/")

    assert "script-src 'self' 'unsafe-eval';" in policy


@pytest.mark.parametrize("path", ["/admin/", "/docs", "/redoc"])
def test_no_policy_names_a_foreign_host_for_code(path):
    policy = middleware.policy_for(path)
    scripts = re.search(r"script-src ([^;]*)", policy).group(1)

    assert "http" not in scripts
    assert "'unsafe-inline'" not in scripts


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
def test_lost_database_is_503_with_when_to_come_back(rf, error):
    wrapped = middleware.DatabaseDownMiddleware(lambda request: HttpResponse())

    response = wrapped.process_exception(rf.post("/webhooks/stripe"), error)

    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response.data["code"] == "unavailable"


def test_lost_database_is_a_plain_page_for_people(rf):
    wrapped = middleware.DatabaseDownMiddleware(lambda request: HttpResponse())

    response = wrapped.process_exception(rf.get("/account"), OperationalError("gone"))

    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "Back in a moment" in response.content.decode()


def test_webhook_before_the_migrations_is_503_so_that_stripe_retries(rf, db):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("delete from django_migrations where app = 'billing'")
    wrapped = middleware.DatabaseDownMiddleware(lambda request: HttpResponse())

    response = wrapped.process_exception(rf.post("/webhooks/stripe"), undefined_table())

    assert response.status_code == 503


def test_missing_table_after_the_migrations_is_our_fault(rf, db):
    assert migration_state.pending_migrations() == []
    wrapped = middleware.DatabaseDownMiddleware(lambda request: HttpResponse())

    response = wrapped.process_exception(rf.post("/webhooks/stripe"), undefined_table())

    assert response.status_code == 500
    assert response.data["code"] == "internal_error"


def test_other_error_of_a_page_is_left_to_django(rf):
    wrapped = middleware.DatabaseDownMiddleware(lambda request: HttpResponse())

    assert wrapped.process_exception(rf.get("/account"), ValueError()) is None


@pytest.mark.parametrize("path", ["/health", "/live", "/metrics"])
def test_a_probe_may_come_to_the_address_of_one_process(client, db, settings, path):
    settings.ALLOWED_HOSTS = [".billing.example.com"]
    settings.METRICS_TOKEN = "token-of-prometheus"
    by_address = {"Host": "10.1.2.3:8000", "Authorization": "Bearer token-of-prometheus"}

    assert client.get(path, headers=by_address).status_code == 200


def test_anything_else_must_name_our_host(client, settings):
    settings.ALLOWED_HOSTS = [".billing.example.com"]

    assert client.get("/", headers={"Host": "10.1.2.3:8000"}).status_code == 400
