"""What does Latchkey cost, beside a bare server and beside other designs? `make bench`.

Starts everything itself, on a PostgreSQL of its own with synchronous commits, and prints Markdown
tables. Each path is measured in turns with bare granian WSGI and with the baselines. How to read
the tables: docs/performance.md.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench import data
from bench.field import FULL, QUICK, TINY, Field, Sizes, are_there, forget
from bench.paths import entitlements, hits, receipt, recompute, rollup, usage, verify
from bench.servers import Servers

PATHS: dict[str, Callable[[Field], str]] = {
    "entitlements": entitlements.measure,
    "hits": hits.measure,
    "verify": verify.measure,
    "usage": usage.measure_single,
    "receipt": receipt.measure,
    "recompute": recompute.measure,
    "batches": usage.measure_batches,
    "rollup": rollup.measure,
}
# Measured by programs of their own, with what they need.
APART = {
    "steady-webhooks": [sys.executable, "-m", "bench.webhook_receipt"],
    "reconcile": [sys.executable, "-m", "pytest", "-q", "-s", "bench/reconcile.py"],
    "grants": [sys.executable, "-m", "pytest", "-q", "-s", "bench/grants.py"],
}
SIZES = {"tiny": TINY, "quick": QUICK, "full": FULL}


def main() -> None:
    options = parse()
    sizes = sizes_of(options)
    own = options.data is None
    base = Path(tempfile.mkdtemp(prefix="latchkey-bench-")) if own else options.data
    base.mkdir(exist_ok=True)
    here = [path for path in options.paths if path in PATHS]
    failed: list[str] = []
    if here:
        failed = measure(here, base, sizes, is_temporary=own, baselines=not options.alone)
    for path in options.paths:
        if path in APART and subprocess.run(APART[path], check=False).returncode != 0:
            failed.append(path)
    if failed:
        sys.exit(f"Not measured: {', '.join(failed)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "paths", nargs="*", default=list(PATHS), help=f"of {', '.join([*PATHS, *APART])}"
    )
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--rounds", type=int, help="of which the medians are printed")
    parser.add_argument("--seconds", type=float, help="of each contender in each round")
    parser.add_argument("--connections", type=int)
    parser.add_argument("--consumers", type=_numbers, help="1000,100000")
    parser.add_argument("--events", type=int, help="in the table before usage is measured")
    parser.add_argument("--data", type=Path, help="keep the data in this folder for other runs")
    parser.add_argument("--alone", action="store_true", help="without the seeds', DRF, dj-stripe")
    options = parser.parse_args()
    unknown = set(options.paths) - PATHS.keys() - APART.keys()
    if unknown:
        parser.error(f"no such path: {', '.join(sorted(unknown))}")
    return options


def sizes_of(options: argparse.Namespace) -> Sizes:
    given = {
        name: value
        for name in ("rounds", "seconds", "connections", "consumers", "events")
        if (value := getattr(options, name)) is not None
    }
    return replace(SIZES[options.size], **given)


def measure(
    paths: list[str], base: Path, sizes: Sizes, *, is_temporary: bool, baselines: bool
) -> list[str]:
    """The paths that could not be measured; the others are printed."""
    servers = Servers(base)
    if is_temporary:
        servers.children.remove_at_death(base)
    try:
        servers.start()
        data.connect(servers)
        field = Field(servers, sizes, baselines=baselines and are_there())
        if baselines and not field.baselines:
            print("Without the baselines: their packages are not installed; use `make bench`.")
        return [path for path in paths if not works(path, field)]
    finally:
        servers.stop()
        if is_temporary:
            forget(base)


def works(path: str, field: Field) -> bool:
    """Measure one path; what went wrong is printed, and the next one may work."""
    began = time.monotonic()
    try:
        print(PATHS[path](field), flush=True)
    except Exception:  # noqa: BLE001  whatever it is, the other paths are measured
        print("\n".join([*field.servers.lines, traceback.format_exc()]), file=sys.stderr)
        return False
    finally:
        print(f"\n{path}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return True


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    main()
