"""What does Latchkey cost, beside a bare server and beside other designs? `make bench`.

Starts everything itself, on a PostgreSQL of its own with synchronous commits, prints Markdown
tables and keeps the figures in artifacts/bench.json. Each path is measured in turns with bare
granian WSGI and with the others. How to read the tables: docs/performance.md.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench import data, report
from bench.field import FULL, LARGE, MIDDLE, QUICK, SMALL, TINY, Field, Sizes, are_there
from bench.paths import entitlements, hits, memory, receipt, recompute, reconcile, rollup, usage
from bench.paths import verify as verifying
from bench.places import Databases, Place, say
from bench.record import KEPT, Finding, Record
from bench.servers import Servers
from config import paths


@dataclass(frozen=True)
class Measured:
    """How a path is measured, and at which sizes."""

    measure: Callable[[Field], Finding | None]
    at: tuple[str, ...]


PATHS = {
    "entitlements": Measured(entitlements.measure, (SMALL, MIDDLE, LARGE)),
    "verify": Measured(verifying.measure, (MIDDLE, LARGE)),
    "usage": Measured(usage.single, (SMALL, LARGE)),
    "batches-100": Measured(usage.hundred, (SMALL, LARGE)),
    "batches-1000": Measured(usage.thousand, (SMALL, LARGE)),
    "receipt": Measured(receipt.measure, (SMALL,)),
    "recompute": Measured(recompute.measure, (SMALL,)),
    "hits": Measured(hits.measure, (MIDDLE,)),
    "memory": Measured(memory.measure, (MIDDLE,)),
    "rollup": Measured(rollup.measure, (LARGE,)),
    "reconcile": Measured(reconcile.measure, (LARGE,)),
}
# Measured by programs of their own, only when they are named.
APART = {
    "pace": [sys.executable, "-m", "bench.apart.pace"],
    "grants": [sys.executable, "-m", "pytest", "-q", "-s", "bench/apart/grants.py"],
}
SIZES = {"tiny": TINY, "quick": QUICK, "full": FULL}


def main() -> None:
    options = parse()
    sizes = replace(
        SIZES[options.size],
        **{
            name: value
            for name in ("rounds", "seconds", "connections")
            if (value := getattr(options, name)) is not None
        },
    )
    if options.events is not None:
        *others, largest = sizes.places
        sizes = replace(sizes, places=(*others, replace(largest, events=options.events)))
    failed = measure(options, sizes) if set(options.paths) & PATHS.keys() else []
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
    parser.add_argument("--events", type=int, help="in the table at the largest size")
    parser.add_argument("--at", choices=(SMALL, MIDDLE, LARGE), help="at one of the sizes only")
    parser.add_argument("--alone", action="store_true", help="without the seeds', DRF, dj-stripe")
    parser.add_argument("--fresh", action="store_true", help="make the kept databases anew")
    parser.add_argument("--output", type=Path, default=KEPT, help="the file for the figures")
    options = parser.parse_args()
    unknown = set(options.paths) - PATHS.keys() - APART.keys()
    if unknown:
        parser.error(f"no such path: {', '.join(sorted(unknown))}")
    return options


def measure(options: argparse.Namespace, sizes: Sizes) -> list[str]:
    """The paths that could not be measured; the others are printed."""
    is_kept = options.size != "tiny"
    servers = Servers(kept_place() if is_kept else Path(tempfile.mkdtemp(prefix="latchkey-bench-")))
    if not is_kept:
        servers.children.remove_at_death(servers.base)
    told = {"size": options.size, "seconds": sizes.seconds, "rounds": sizes.rounds}
    record = Record.begin(options.output, **told, connections=sizes.connections)
    began = time.monotonic()
    try:
        servers.start()
        databases = Databases(servers)
        databases.forget_old(fresh=options.fresh)
        data.connect(servers)
        field = Field(servers, sizes, not options.alone and are_there(), databases)
        if not options.alone and not field.baselines:
            say("Without the others: their packages are not installed; use `make bench`.")
        failed = walk(options.paths, field, record, at=options.at)
        record.head["minutes"] = (time.monotonic() - began) / 60
        record.keep()
        print("", *report.summary(record), sep="\n", flush=True)
        return failed
    finally:
        with suppress(Exception):
            data.leave()
        servers.stop()
        if not is_kept:
            shutil.rmtree(servers.base, ignore_errors=True)


def kept_place() -> Path:
    """Where the databases stay between runs: `.latchkey/bench`, 15 GB after a full run."""
    place = paths.prepare_place() / "bench"
    place.mkdir(exist_ok=True)
    return place


def walk(chosen: list[str], field: Field, record: Record, *, at: str | None = None) -> list[str]:
    """Measure the paths size by size; those that failed."""
    places = field.sizes.places
    failed = []
    for place in places:
        here = [path for path in chosen if path in PATHS and is_at(PATHS[path], place, places)]
        if not here or at not in (None, place.name):
            continue
        field.open(place)
        failed += [path for path in here if not works(path, field, record)]
        field.close()
    return failed


def is_at(path: Measured, place: Place, places: tuple[Place, ...]) -> bool:
    """The last size of a run stands in for the bigger ones that it has not."""
    known = [one.name for one in places]
    wanted = {name if name in known else known[-1] for name in path.at}
    return place.name in wanted


def works(path: str, field: Field, record: Record) -> bool:
    """Measure one path; what went wrong is printed, and the next one may work."""
    began = time.monotonic()
    try:
        finding = PATHS[path].measure(field)
        if finding is not None:
            record.add(finding)
            print(report.table(finding), flush=True)
    except Exception:  # noqa: BLE001  whatever it is, the other paths are measured
        say("\n".join([*field.servers.lines, traceback.format_exc()]))
        return False
    finally:
        say(f"{path} at {field.place}: {time.monotonic() - began:.0f} s")
    return True


if __name__ == "__main__":
    main()
