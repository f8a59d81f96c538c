"""Comparing many subscriptions of which nothing changed, by a program of its own."""

import json
import os
import subprocess
import sys

from bench.field import Field
from bench.record import Finding
from config import paths


def measure(field: Field) -> Finding | None:
    count = field.sizes.reconciled
    if not count:
        return None
    file = field.servers.base / "reconcile.json"
    command = [sys.executable, "-m", "pytest", "-q", "-s", "bench/apart/reconcile.py"]
    told = {"PATH": os.environ["PATH"], "RECONCILED": str(count), "FIGURES": str(file)}
    done = subprocess.run(
        command, cwd=paths.ROOT, env=told, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    figures = {"compared": json.loads(file.read_text()) | {"subscriptions": count}}
    title = f"Reconciliation, {count:,} subscriptions, nothing changed"
    return Finding("reconcile", f"{count:,} subscriptions", title, figures, kind="reconcile")
