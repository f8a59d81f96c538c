"""Is the process alive, may it get traffic, and what is wrong if not."""

import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config import heartbeat, migration_state

Finding = dict[str, Any]

CHECK_SECONDS = 1.5
OLDEST_HEARTBEAT_SECONDS = 60
_running: set[str] = set()
_running_lock = threading.Lock()


@require_safe
@never_cache
def health(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:
    """The process answers: nothing else is asked, so a lost database restarts nothing."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(request: HttpRequest) -> HttpResponse:
    """503 without database or with pending migrations; without Redis or worker only degraded."""
    findings = run_checks({"database": check_database, "worker": check_worker})
    is_ready = findings["database"]["ok"]
    is_whole = all(finding["ok"] for finding in findings.values())
    status = "ready" if is_whole else "degraded" if is_ready else "not_ready"
    return JsonResponse(
        {"status": status, "checks": findings},
        status=200 if is_ready else 503,
        headers={} if is_ready else {"Retry-After": "5"},
    )


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    return render(request, "landing.html")


def run_checks(checks: dict[str, Callable[[], Finding]]) -> dict[str, Finding]:
    """Ask all at once and wait at most CHECK_SECONDS for all of them together.

    A check that hangs keeps its thread, and is not started a second time meanwhile.
    """
    findings: dict[str, Finding] = {name: {"ok": False, "detail": "no answer"} for name in checks}
    threads = [_start(name, check, findings) for name, check in checks.items()]
    end = time.monotonic() + CHECK_SECONDS
    for thread in filter(None, threads):
        thread.join(max(0.0, end - time.monotonic()))
    return dict(findings)


def check_database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
        pending = migration_state.pending_migrations()
    except Exception as error:  # noqa: BLE001  whatever it is, this process cannot serve
        return {"ok": False, "detail": type(error).__name__}
    finally:
        connection.close()
    if pending:
        return {"ok": False, "detail": "migrations are pending", "pending": pending}
    return {"ok": True}


def check_worker() -> Finding:
    """The age of the last heart-beat: it went through beat, the broker and a worker."""
    try:
        age = heartbeat.age_seconds()
    except redis.RedisError as error:
        return {"ok": False, "detail": f"broker: {type(error).__name__}"}
    if age is None:
        return {"ok": False, "detail": "no heart-beat yet"}
    return {"ok": age <= OLDEST_HEARTBEAT_SECONDS, "heartbeat_age_seconds": round(age, 1)}


def _start(
    name: str, check: Callable[[], Finding], findings: dict[str, Finding]
) -> threading.Thread | None:
    with _running_lock:
        if name in _running:
            return None
        _running.add(name)

    def run() -> None:
        try:
            findings[name] = check()
        finally:
            with _running_lock:
                _running.discard(name)

    thread = threading.Thread(target=run, name=f"check-{name}", daemon=True)
    thread.start()
    return thread
