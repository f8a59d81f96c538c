"""What Prometheus reads, who may read it, and whether each alert has its metric."""

import re
from datetime import timedelta

import pytest
import yaml
from django.db import OperationalError
from prometheus_client.parser import text_string_to_metric_families

from config import paths
from config.clock import now
from keystore import jobs
from tests.billing.admin.conftest import an_event

pytestmark = pytest.mark.django_db
DOCUMENTED = paths.ROOT / "docs/operations.md"


def read(client):
    text = client.get("/metrics").content.decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def rules():
    groups = yaml.safe_load((paths.ROOT / "deploy/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_inbox_depth_lag_and_latency_are_told(client):
    at = now()
    times = {"received_at": at - timedelta(seconds=60), "finished_at": at - timedelta(seconds=50)}
    made = at - timedelta(seconds=64)
    an_event("evt_1", state="done", stripe_created_at=made, **times)
    an_event("evt_2", state="pending", received_at=at - timedelta(hours=1))
    an_event("evt_3", state="parked")

    found = read(client)

    assert found["latchkey_inbox_events", "pending"] == 1
    assert found["latchkey_inbox_events", "parked"] == 1
    assert found["latchkey_inbox_oldest_seconds",] == pytest.approx(3600, abs=60)
    assert found["latchkey_webhook_lag_seconds", "0.95"] == pytest.approx(4)
    assert found["latchkey_webhook_latency_seconds", "0.5"] == pytest.approx(10)


def test_a_job_that_did_not_run_is_told(client):
    jobs.finish(name="config.heartbeat", failed=False, result="", milliseconds=1, at=now())

    found = read(client)

    assert found["latchkey_job_overdue", "config.heartbeat"] == 0
    assert found["latchkey_job_overdue", "billing.tasks.work_inbox"] == 1


def test_a_scrape_takes_few_queries(client, django_assert_max_num_queries):
    with django_assert_max_num_queries(26):
        client.get("/metrics")


def test_without_a_database_the_metrics_say_so(client, monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("away")

    monkeypatch.setattr("billing.metrics.FromDatabase._inbox", refuse)

    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "latchkey_database_up 0.0" in answer.content.decode()


@pytest.mark.parametrize(
    ("headers", "address", "status"),
    [
        ({}, "127.0.0.1", 200),
        ({}, "::1", 200),
        ({}, "10.0.0.7", 401),
        ({"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1", 401),
    ],
)
def test_without_a_token_only_this_machine_reads(client, headers, address, status):
    assert client.get("/metrics", headers=headers, REMOTE_ADDR=address).status_code == status


@pytest.mark.parametrize(
    ("given", "status"),
    [("Bearer s3cret-s3cret", 200), ("Bearer other", 401), ("Basic x", 401), (None, 401)],
)
def test_with_a_token_nobody_reads_without_it(client, settings, given, status):
    settings.METRICS_TOKEN = "s3cret-s3cret"
    headers = {"Authorization": given} if given else {}

    assert client.get("/metrics", headers=headers).status_code == status


def test_metrics_are_only_read(client):
    assert client.post("/metrics").status_code == 405


def test_every_alert_names_metrics_that_exist(client):
    told = client.get("/metrics").content.decode()
    exported = {"up", *re.findall(r"^# TYPE (\w+)", told, re.MULTILINE)}
    exported |= {f"{name}_bucket" for name in re.findall(r"# TYPE (\w+) histogram", told)}

    for rule in rules():
        named = set(re.findall(r"\b(latchkey_\w+|up)\b(?=[{\[ ]|$)", rule["expr"])) - {"latchkey"}
        assert named, rule["alert"]
        assert named - exported == set(), rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


def test_every_alert_metric_and_promise_is_explained(client):
    from billing.invariants import CHECKS

    text = DOCUMENTED.read_text()
    told = client.get("/metrics").content.decode()
    names = set(re.findall(r"^# TYPE (\w+)", told, re.MULTILINE))
    names |= {rule["alert"] for rule in rules()} | {check.code for check in CHECKS}

    assert {name for name in names if f"`{name}`" not in text} == set()
