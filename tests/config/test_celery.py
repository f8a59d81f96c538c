import importlib
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import redis
from celery import signals
from celery.concurrency.solo import TaskPool
from django.conf import settings
from kombu import Connection
from kombu.utils.imports import symbol_by_name

from config import heartbeat, paths
from config.celery import BEAT, REQUEST_ID_HEADER, VISIBILITY_SECONDS, app
from keystore import doorbell
from keystore.correlation import bound, current_request_id


def test_nothing_but_json_is_accepted():
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"


def test_task_of_a_lost_worker_comes_back():
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1


def test_no_task_outlives_its_visibility():
    assert app.conf.task_time_limit < VISIBILITY_SECONDS
    assert app.conf.broker_transport_options["visibility_timeout"] == VISIBILITY_SECONDS


def test_no_result_is_kept_and_no_publish_waits():
    assert app.conf.task_ignore_result
    assert not app.conf.task_publish_retry
    assert app.conf.broker_transport_options["socket_connect_timeout"] == 1


@pytest.mark.parametrize("name", BEAT)
def test_periodic_job_exists(name):
    importlib.import_module(name.rpartition(".")[0])

    assert name in app.tasks


def test_ticks_that_waited_too_long_are_dropped():
    assert all(entry["options"]["expires"] >= 60 for entry in app.conf.beat_schedule.values())


def test_request_id_travels_in_the_headers():
    headers = {}
    with bound("req_1"):
        signals.before_task_publish.send(sender="x", headers=headers)

    assert headers == {REQUEST_ID_HEADER: "req_1"}


def test_task_works_for_the_request_that_rang():
    seen = []

    @app.task(name="tests.note", bind=True)
    def note(self):
        seen.append(current_request_id())

    note.apply(headers={REQUEST_ID_HEADER: "req_1"}).get()
    note.apply(task_id="task_2").get()

    assert seen == ["req_1", "task_2"]
    assert current_request_id() == ""
    app.tasks.unregister("tests.note")


def test_a_ring_reaches_the_broker():
    doorbell.ring("billing.tasks.work_inbox")

    deadline = time.monotonic() + 60
    broker = redis.Redis.from_url(settings.REDIS_URL)
    while not broker.llen("celery") and time.monotonic() < deadline:
        time.sleep(0.02)
    (message,) = broker.lrange("celery", 0, -1)
    broker.close()
    assert json.loads(message)["headers"]["task"] == "billing.tasks.work_inbox"


def test_heartbeat_leaves_its_time():
    heartbeat.client.cache_clear()

    app.tasks["config.heartbeat"]()

    assert heartbeat.age_seconds() < 60


@pytest.fixture
def worker(tmp_path):
    """A real worker on the test's broker; gives the file of its log."""
    log = tmp_path / "worker.log"
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--pool=solo"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--loglevel=INFO", "--without-gossip", "--without-mingle"],
            cwd=paths.ROOT,
            stdout=output,
            stderr=output,
        )
        yield log
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_request_id_reaches_a_real_worker(worker):
    heartbeat.client.cache_clear()
    with bound("req_from_web"):
        app.send_task("config.heartbeat")

    end = time.monotonic() + 60
    while "succeeded" not in worker.read_text() and time.monotonic() < end:
        time.sleep(0.1)

    lines = [json.loads(line) for line in worker.read_text().splitlines() if line[:1] == "{"]
    (done,) = [line for line in lines if "succeeded" in line["message"]]
    assert done["request_id"] == "req_from_web"
    assert heartbeat.age_seconds() < 60


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "celery", "-A", "config", "worker", "--pool=solo"],
        [sys.executable, "-m", "celery", "-A", "config", "beat"],
        [sys.executable, "-c", "import config.wsgi"],
    ],
    ids=["worker", "beat", "web"],
)
def test_process_does_not_start_on_a_dangerous_setting(command, tmp_path):
    environment = {**os.environ, "KEY_PEPPER": "short", "PYTHONPATH": str(paths.ROOT)}

    ended = subprocess.run(  # elsewhere: beat leaves its timetable where it starts
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode != 0
    assert "latchkey.E004" in ended.stderr


class UnclosableConnection(Connection):
    """Raises what kombu does when it has messages to give back over a channel that is gone."""

    def close(self):
        super().close()
        raise AttributeError("'NoneType' object has no attribute 'hostname'")


@pytest.fixture
def consumer():
    """The worker's own side of the broker."""
    make_consumer = symbol_by_name(app.conf.worker_consumer)
    return make_consumer(
        None,
        app=app,
        hostname="lasting@test",
        pool=TaskPool(1, app=app),
        controller=SimpleNamespace(use_eventloop=True),
    )


def test_worker_outlives_whatever_the_end_of_a_connection_raises(consumer, caplog):
    consumer.connection = UnclosableConnection(settings.CELERY_BROKER_URL)

    consumer.on_connection_error_after_connected(ConnectionError("gone"))

    assert consumer.connection is None  # so it connects anew
    assert "broker.unclosed" in caplog.text


def test_work_that_ends_after_its_connection_was_lost_ends_no_worker(consumer, caplog):
    lost = Connection(settings.CELERY_BROKER_URL)
    queue = lost.SimpleQueue("lasting")
    queue.put({})
    message = queue.get(timeout=5)
    channel = message.channel
    lost.release()
    channel._disconnect_pools()  # the worker's own are gone with the connection that broke

    def work_ends(*_):
        message.ack()

    with pytest.raises(AttributeError):
        work_ends()
    consumer.drain = work_ends

    with pytest.raises(consumer.connection_errors):  # after which it connects anew
        consumer.loop(*range(9))
    assert "broker.lost" in caplog.text
