"""Stripe's own command line runs against the sandbox: `stripe trigger` for each kind of event.

Needs the binary of npm's @stripe/cli: named by STRIPE_CLI, on PATH, or in .latchkey/stripe-cli/.
"""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.server import Server

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk_test_" + "a" * 24
# What the product's own webhook rules name, then what its flows cause besides.
WANTED = (
    "customer.created",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.trial_will_end",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_failed",
    "checkout.session.completed",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "checkout.session.expired",
    "charge.refunded",
    "charge.refund.updated",
    "charge.dispute.created",
    "charge.dispute.closed",
    "customer.updated",
    "customer.deleted",
    "invoice.payment_succeeded",
    "invoice.voided",
    "payment_method.attached",
    "setup_intent.succeeded",
    "billing_portal.session.created",
    "billing_portal.configuration.created",
)


def find_cli() -> str | None:
    named = os.environ.get("STRIPE_CLI") or shutil.which("stripe")
    if named:
        return named
    found = sorted((ROOT / ".latchkey" / "stripe-cli").rglob("bin/stripe"))
    return str(found[0]) if found else None


CLI = find_cli()
pytestmark = [
    pytest.mark.slow,
    # Stripe's own program is no Python package; our sandbox is also tested without it.
    pytest.mark.skipif(
        CLI is None,
        reason="no Stripe CLI: npm install @stripe/cli, set STRIPE_CLI to its binary",
    ),
]


@pytest.fixture
def server():
    running = Server(Sandbox(background=True), 0)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize("kind", WANTED)
def test_trigger_makes_the_event(server, tmp_path, kind):
    address = f"http://127.0.0.1:{server.server_address[1]}"
    command = [str(CLI), "trigger", kind, "--api-base", address, "--api-key", KEY]
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    quiet = {"STRIPE_CLI_TELEMETRY_OPTOUT": "1", "PATH": os.environ["PATH"]}
    ran = subprocess.run(
        command, env={**home, **quiet}, capture_output=True, text=True, timeout=60, check=False
    )

    made = {event["type"] for event in server.sandbox.store.all("event")}
    assert ran.returncode == 0, json.dumps([ran.stdout, ran.stderr])
    assert kind in made
