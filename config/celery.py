"""The task queue: its settings, and the request id in headers.

Celery rings, rows remember: whatever is lost here is found again by the periodic jobs.
"""

import logging.config
import os
import sys
from contextlib import ExitStack
from typing import Any

from celery import Celery, signals
from celery.app.task import Task
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import alive, heartbeat
from config import jobruns as jobruns  # connects its signals
from config.checks import refuse_dangerous_settings
from config.schedule import BEAT, MINUTE
from keystore.correlation import bound, current_request_id

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

REQUEST_ID_HEADER = "latchkey_request_id"
VISIBILITY_SECONDS = 120  # longer than any task may run, so that none is handed out twice

app = Celery("latchkey")
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_SECONDS,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,
        "socket_connect_timeout": 1,
    },
    visibility_timeout=VISIBILITY_SECONDS,
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_publish_retry=False,
    task_time_limit=60,
    task_soft_time_limit=50,
    worker_consumer="config.consumer:LastingConsumer",
    worker_prefetch_multiplier=1,
    worker_eta_task_limit=1000,
    worker_soft_shutdown_timeout=20,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    enable_utc=True,
    timezone="UTC",
    beat_scheduler="config.beat:ClaimingScheduler",
    result_expires=None,  # there are no results, so beat needs no job that forgets them
    # A tick that waited longer than its interval is worth nothing: the next one does its work.
    beat_schedule={
        name: {"task": name, "schedule": seconds, "options": {"expires": max(seconds, MINUTE)}}
        for name, seconds in BEAT.items()
    },
)
app.autodiscover_tasks(["keystore", "entitlements", "metering", "billing"])


@app.task(name="config.heartbeat")
def leave_heartbeat() -> None:
    heartbeat.leave()


@signals.setup_logging.connect(weak=False)
def keep_our_logging(**_: Any) -> None:
    """Celery asks who configures logging: we do, as everywhere."""
    logging.config.dictConfig(settings.LOGGING)


@signals.before_task_publish.connect(weak=False)
def send_request_id(headers: dict[str, Any], **_: Any) -> None:
    if request_id := current_request_id():
        headers[REQUEST_ID_HEADER] = request_id


@signals.task_prerun.connect(weak=False)
def bind_request_id(task_id: str, task: Task, **_: Any) -> None:
    """Logs and audit entries of a task carry the id of the request that rang, or the task's own."""
    bindings = ExitStack()
    sent = (task.request.headers or {}).get(REQUEST_ID_HEADER)
    bindings.enter_context(bound(sent or task_id))
    task.request.latchkey_bindings = bindings


@signals.task_postrun.connect(weak=False)
def release_request_id(task: Task, **_: Any) -> None:
    if bindings := getattr(task.request, "latchkey_bindings", None):
        bindings.close()


@signals.worker_init.connect(weak=False)
@signals.heartbeat_sent.connect(weak=False)
def show_life(**_: Any) -> None:
    """Every 2 seconds while the worker's loop comes round and its broker answers."""
    alive.touch()


@signals.worker_init.connect(weak=False)
@signals.beat_init.connect(weak=False)
def check_settings_at_start(**_: Any) -> None:
    """SystemExit, because a signal's receiver may raise any Exception without consequence."""
    try:
        refuse_dangerous_settings()
    except ImproperlyConfigured as refusal:
        sys.exit(str(refusal))
