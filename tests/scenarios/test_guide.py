"""The integration guide's blocks run as printed, one after another, in one shell."""

import json
import os
import re
import subprocess
import threading

import pytest
from pytest_django.live_server_helper import LiveServer

from config import paths
from sandbox.server import Server

GUIDE = (paths.ROOT / "docs" / "integration_guide.md").read_text()
PAGES = ("metering.md", "quotas.md", "recipes.md")
DEMO_URL = "http://127.0.0.1:8000"
PRINTED = re.compile(r"http://(?:localhost|127\.0\.0\.1):8000")


def blocks(page: str = GUIDE) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def stripe_pages(demo):
    """The sandbox's pages where the buyer pays, over HTTP."""
    server = Server(demo, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before, demo.public_url = demo.public_url, f"http://127.0.0.1:{server.server_address[1]}"
    yield
    demo.public_url = before
    server.shutdown()
    server.server_close()


@pytest.fixture
def said(demo, stripe_pages, settings, tmp_path):
    """What each block printed, by its place in the guide; curl refuses whatever is no 2xx."""
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_other", "whsec_placeholder"]
    return printed_by(blocks(), tmp_path)


def printed_by(parts: list[str], tmp_path) -> list[str]:
    server = LiveServer("127.0.0.1")
    marked = [f"{block}\necho; echo '=== end'" for block in parts]
    script = 'set -e -o pipefail\ncurl() { command curl --fail-with-body -sS "$@"; }\n' + "\n".join(
        marked
    )
    try:
        done = subprocess.run(
            ["bash", "-c", PRINTED.sub(server.url, script)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            timeout=150,
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    return [part.strip() for part in done.stdout.split("=== end")[:-1]]


@pytest.mark.slow
@pytest.mark.timeout(300)  # demo data, a server and twenty programs, on a busy machine
def test_the_guide_runs_as_printed_from_nothing_to_the_first_paid_call(said):
    by_block = dict(zip(blocks(), said, strict=True))

    def told(piece):
        (found,) = [answer for block, answer in by_block.items() if piece in block]
        return [json.loads(line) for line in found.replace("}{", "}\n{").splitlines()]

    (whoami,) = told("/whoami")
    assert (whoami["valid"], whoami["plan"]) == (True, "pro")
    (entitled,) = told("/entitlements?user_id=ellen")
    assert "pro" in {one["feature_code"] for one in entitled["entitlements"] if one["active"]}
    counted, _, checked = told("/usage/events")
    assert (counted["events"][0]["status"], checked["allowed"]) == ("accepted", True)
    granted, revoked = told("/admin/grant")
    assert (granted["active"], revoked["changed"]) == (True, True)
    (replayed,) = [answer for block, answer in by_block.items() if "hmac" in block]
    assert replayed.startswith("payment_intent.succeeded 200 ")


def test_the_guide_names_the_walk_s_parts():
    headings = re.findall(r"^## \d\. (.+)$", GUIDE, re.MULTILINE)

    assert len(headings) == 7
    assert len(blocks()) == 12


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_usage_quotas_and_a_trial_run_as_printed_on_a_fresh_demo(demo, tmp_path):
    pages = [(paths.ROOT / "docs" / name).read_text() for name in PAGES]
    parts = [block for page in pages for block in blocks(page)]

    said = printed_by([f"URL={DEMO_URL} KEY=sk_demo_space_journal", *parts], tmp_path)

    _, told, report, settled, checked, trial = map(last_answer, said)
    assert (told["accepted"], told["rejected"]) == (1, 0)
    assert sum(line["quantity"] for line in report["data"]) >= 1500
    assert (settled["state"], settled["settled_quantity"]) == ("settled", 3120)
    assert checked["allowed"] is True
    assert (trial["plan_code"], trial["active"]) == ("pro", True)


def last_answer(printed: str):
    return json.loads(printed.splitlines()[-1]) if printed else None
