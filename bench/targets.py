"""What each path should reach beside a bare server and beside the others, and what it did."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.paths.usage import beside_an_empty_table
from bench.record import Figures, Record

BARE, SEEDS = "bare granian", "seeds' design"
HEAD = ("path", "where", "beside", "aim", "by speed", "by its CPU", "with PostgreSQL's", "")


@dataclass(frozen=True)
class Aim:
    """The ratio that `ours` should have to `beside`."""

    path: str
    ours: str
    beside: str
    least: float


AIMS = (
    Aim("entitlements", "PostgreSQL each time", BARE, 0.25),
    Aim("entitlements", "PostgreSQL each time", SEEDS, 25),
    Aim("entitlements", "push cache", BARE, 0.8),
    Aim("entitlements", "push cache", SEEDS, 60),
    Aim("verify", "push cache", BARE, 0.25),
    Aim("verify", "push cache", SEEDS, 25),
    Aim("usage", "latchkey", BARE, 0.15),
    Aim("usage", "latchkey", SEEDS, 15),
    Aim("batches-100", "latchkey", SEEDS, 6),
    Aim("batches-1000", "latchkey", SEEDS, 9),
    Aim("receipt", "latchkey", BARE, 0.15),
    Aim("receipt", "latchkey", SEEDS, 20),
    Aim("receipt", "latchkey", "dj-stripe's view", 100),
)
NAMES = {
    "entitlements": "entitlements",
    "verify": "verify + rate limit",
    "usage": "usage, one event",
    "batches-100": "usage, batches of 100",
    "batches-1000": "usage, batches of 1,000",
    "receipt": "webhook receipt",
}


def rows(record: Record) -> Iterator[tuple[str, ...]]:
    """The cells of each target that the run has figures for."""
    for aim in AIMS:
        for place in record.places(aim.path):
            figures = record.figures(aim.path, place)
            if aim.ours in figures and aim.beside in figures:
                yield _served(aim, place, figures)
    for special in (_full_tables, _rollup, _recompute, _reconcile, _memory):
        yield from special(record)


def _served(aim: Aim, place: str, figures: Figures) -> tuple[str, ...]:
    ours, other = figures[aim.ours], figures[aim.beside]
    ratios = [
        ours["per_s"] / other["per_s"],
        _ratio(other["cpu_us"], ours["cpu_us"]),
        _ratio(other["all_us"], ours["all_us"]),
    ]
    name = NAMES[aim.path] + (f", {aim.ours}" if aim.path == "entitlements" else "")
    times = "" if aim.beside == BARE else "x"
    return (
        *(name, place, aim.beside, f"{aim.least}{times}"),
        *(shown(one) + times for one in ratios),
        verdict(ratios[0], ratios[1], aim.least),
    )


def verdict(by_speed: float, by_cpu: float, least: float) -> str:
    """By the CPU of the web process, which neighbours and the generator disturb least."""
    if min(by_speed, by_cpu) >= least:
        return "met"
    if by_cpu >= least:
        return "met by CPU"
    return f"**missed**, {by_cpu / least:.0%} of it"


def _full_tables(record: Record) -> Iterator[tuple[str, ...]]:
    for path in ("batches-100", "batches-1000"):
        places = record.places(path)
        if len(places) < 2:
            continue
        empty, full = record.figures(path, places[0]), record.figures(path, places[-1])
        speed = full["latchkey"]["per_s"] / empty["latchkey"]["per_s"]
        cpu = _ratio(empty["latchkey"]["cpu_us"], full["latchkey"]["cpu_us"])
        whole = beside_an_empty_table(full, empty)
        cells = (shown(speed), shown(cpu), shown(whole), verdict(speed, whole, 0.8))
        yield NAMES[path], places[-1], "ours at an empty table", "0.8", *cells


def _rollup(record: Record) -> Iterator[tuple[str, ...]]:
    for place in record.places("rollup"):
        ours, bare = _of(record.figures("rollup", place), "roll-up", "GROUP BY of the new")
        speed, cpu = ours["per_s"] / bare["per_s"], _ratio(bare["pg_us"], ours["pg_us"])
        cells = (shown(speed), "", shown(cpu), verdict(speed, cpu, 0.2))
        yield "roll-up of new events", place, "a bare GROUP BY", "0.2", *cells


def _recompute(record: Record) -> Iterator[tuple[str, ...]]:
    for place in record.places("recompute"):
        figures = record.figures("recompute", place)
        if SEEDS not in figures:
            continue
        ours, seeds = _of(figures, "with a changed plan", SEEDS)
        speed, cpu = seeds["p50_ms"] / ours["p50_ms"], _ratio(seeds["cpu_us"], ours["cpu_us"])
        cells = (f"{shown(speed)}x", f"{shown(cpu)}x", "", verdict(speed, cpu, 8))
        yield "one answer made anew", place, "the seeds' ORM", "8x", *cells


def _reconcile(record: Record) -> Iterator[tuple[str, ...]]:
    for place in record.places("reconcile"):
        one = record.figures("reconcile", place)["compared"]
        cpu = one["cpu_s"] / one["subscriptions"] * 100_000
        said = "met" if cpu <= 60 else f"**missed**, {cpu / 60:.1f} times as much"
        yield "reconcile", place, "", "60 s of CPU for 100,000", "", f"{cpu:.0f} s", "", said


def _memory(record: Record) -> Iterator[tuple[str, ...]]:
    for place in record.places("memory"):
        for name, one in record.figures("memory", place).items():
            if "asked for" in name:
                most = one["pss_mb"]
                said = "met" if most <= 150 else f"**missed** by {most - 150:.0f} MB"
                yield f"memory: {name}", place, "", "150 MB", "", f"{most:.0f} MB", "", said


def _of(figures: Figures, *starts: str) -> list[dict[str, float]]:
    """The rows whose names begin so."""
    return [next(row for name, row in figures.items() if name.startswith(s)) for s in starts]


def _ratio(other: float, ours: float) -> float:
    """At the smallest sizes nothing can be seen of the CPU."""
    return other / ours if ours else float("nan")


def shown(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 1 else f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"
