import threading
import time

import pytest
from django.db import connection

from config import health, heartbeat

HANG_SECONDS = 30


@pytest.fixture
def beating(db):
    heartbeat.client.cache_clear()
    heartbeat.leave()
    yield
    heartbeat.client.cache_clear()


@pytest.fixture
def without_redis(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    heartbeat.client.cache_clear()
    yield
    heartbeat.client.cache_clear()


@pytest.mark.parametrize("path", ["/health", "/live"])
def test_process_is_alive(client, path):
    response = client.get(path)

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_live_asks_neither_database_nor_redis(client, without_redis):
    # without the db fixture any query would fail the test
    assert client.get("/live").status_code == 200


def test_ready_when_database_migrations_and_worker_are_there(client, beating):
    response = client.get("/ready")

    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    assert response.json()["checks"]["worker"]["heartbeat_age_seconds"] < 5


def test_worker_that_never_beat_only_degrades(client, db):
    heartbeat.client.cache_clear()

    response = client.get("/ready")

    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["checks"]["worker"]["detail"] == "no heart-beat yet"


def test_worker_silent_for_too_long_degrades(client, beating):
    redis = heartbeat.client()
    redis.set(heartbeat.KEY, redis.time()[0] - health.OLDEST_HEARTBEAT_SECONDS - 1)

    assert client.get("/ready").json()["status"] == "degraded"


def test_redis_down_only_degrades(client, db, without_redis):
    response = client.get("/ready")

    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["checks"]["worker"]["detail"] == "broker: ConnectionError"


@pytest.mark.django_db(transaction=True)
def test_pending_migration_is_not_ready(client):
    with connection.cursor() as cursor:
        cursor.execute("delete from django_migrations where app = 'billing'")

    response = client.get("/ready")

    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "billing.0001_initial" in response.json()["checks"]["database"]["pending"]


def test_database_down_is_not_ready_and_tells_no_secrets(client, db, settings, monkeypatch):
    monkeypatch.setattr(health, "connection", Broken())

    response = client.get("/ready")

    assert response.status_code == 503
    assert response.json()["checks"]["database"] == {"ok": False, "detail": "OperationalError"}


def test_hanging_check_does_not_hang_the_probe():
    release, calls = threading.Event(), []

    def hang():
        calls.append(1)
        release.wait(HANG_SECONDS)
        return {"ok": True}

    started = time.monotonic()
    first = health.run_checks({"stuck": hang})
    second = health.run_checks({"stuck": hang})
    release.set()

    assert time.monotonic() - started < HANG_SECONDS / 2
    assert first == second == {"stuck": {"ok": False, "detail": "no answer"}}
    assert calls == [1]


def test_landing_page_leads_to_everything(client):
    page = client.get("/").content.decode()

    for target in ("/docs", "/redoc", "/docs/errors", "/admin/", "/ready", "/api/schema"):
        assert f'href="{target}"' in page


class Broken:
    """A connection whose server is gone."""

    def cursor(self):
        from django.db import OperationalError

        raise OperationalError("password=canary")

    def close(self):
        pass
