"""What the web served, by route: bounded labels, and one count over all processes."""

import os
import subprocess
import sys

import pytest
from django.urls import reverse

from config import paths
from tests.config.test_metrics import read

pytestmark = pytest.mark.django_db
COUNT = """
from django.http import HttpRequest
from config.http_metrics import count, http_text
request = HttpRequest()
request.method = "GET"
count(request, 200, seconds=0.2)
print(http_text().decode())
"""


def grown(client, sample, act):
    before = read(client).get(sample, 0)
    act()
    return read(client)[sample] - before


def test_request_is_counted_by_method_route_and_status(client):
    sample = ("latchkey_http_requests_total", "GET", "admin:login", "200")

    assert grown(client, sample, lambda: client.get(reverse("admin:login"))) == 1


def test_time_of_a_request_is_told_by_route(client):
    sample = ("latchkey_http_request_seconds_count", "admin:login")

    assert grown(client, sample, lambda: client.get(reverse("admin:login"))) == 1


def test_addresses_that_callers_make_up_share_one_label(client):
    sample = ("latchkey_http_requests_total", "GET", "none", "404")

    def ask():
        for path in ("/made-up-1", "/made-up-2"):
            client.get(path)

    assert grown(client, sample, ask) == 2
    assert not [labels for labels in read(client) if "made-up" in str(labels)]


def test_methods_that_callers_make_up_share_one_label(client):
    sample = ("latchkey_http_requests_total", "other", "admin:login", "405")

    assert grown(client, sample, lambda: client.generic("BREW", reverse("admin:login"))) == 1


def test_processes_that_share_a_folder_count_together(tmp_path):
    shared = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "made")}

    for total in (1, 2):
        told = subprocess.check_output(
            [sys.executable, "-c", COUNT], env=shared, cwd=paths.ROOT, text=True
        )
        assert f'{{method="GET",route="none",status="200"}} {total}.0' in told
