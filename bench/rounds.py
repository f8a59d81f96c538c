"""Programs loaded in turns, so that a noisy machine is noisy for all of them; medians, ratios."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.gun import Plan, fire
from bench.servers import Program, Servers

WARM_UP_SECONDS = 0.5


@dataclass(frozen=True)
class Contender:
    """A program and what it is sent; `events` of each request are what is counted."""

    name: str
    program: Program
    plan: Plan
    events: int = 1


@dataclass
class Figures:
    """What the rounds of one contender saw."""

    events: int
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # µs of the server for each request
    database: list[float] = field(default_factory=list)
    redis: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    megabytes: float = 0.0

    def rate(self) -> float:
        return statistics.median(self.rates) * self.events

    def cpu_each(self) -> float:
        return statistics.median(self.cpu) / self.events


def run(
    servers: Servers,
    contenders: Sequence[Contender],
    *,
    rounds: int,
    seconds: float,
    connections: int,
) -> dict[str, Figures]:
    """Every contender once in each round."""
    found = {one.name: Figures(one.events) for one in contenders}
    for one in contenders:
        fire(one.program.port, one.plan, connections=connections, seconds=WARM_UP_SECONDS)
    for _ in range(rounds):
        for one in contenders:
            _measure(servers, one, found[one.name], seconds, connections)
    return found


def _measure(
    servers: Servers, one: Contender, figures: Figures, seconds: float, connections: int
) -> None:
    clocks = (one.program.cpu_seconds, servers.database_cpu_seconds, servers.redis_cpu_seconds)
    before = [clock() for clock in clocks]
    fired = fire(one.program.port, one.plan, connections=connections, seconds=seconds)
    used = [clock() - start for clock, start in zip(clocks, before, strict=True)]
    if fired.count == 0:
        raise RuntimeError(f"{one.name} answered nothing")
    figures.rates.append(fired.rate)
    for series, spent in zip((figures.cpu, figures.database, figures.redis), used, strict=True):
        series.append(spent / fired.count * 1e6)
    figures.latencies.extend(fired.latencies)
    figures.megabytes = max(figures.megabytes, one.program.megabytes())


RATIOS = ("per s", "of limit", "x seeds", "CPU µs", "limit/CPU", "seeds/CPU")
HEAD = ("", *RATIOS, "pg µs", "redis µs", "p50 ms", "p99 ms", "MB")


def table(title: str, found: dict[str, Figures], *, limit: str, seeds: str) -> str:
    """A Markdown table. `limit` and `seeds` name the contenders that ratios compare with."""
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    lines = [f"\n**{title}** (load {load})\n", _line(HEAD), _line(["---"] * len(HEAD))]
    for name, one in found.items():
        lines.append(_line([name, *_cells(one, found.get(limit), found.get(seeds))]))
    return "\n".join(lines)


def _cells(one: Figures, limit: Figures | None, seeds: Figures | None) -> list[str]:
    ordered = sorted(one.latencies)
    return [
        f"{one.rate():,.0f}",
        f"{one.rate() / limit.rate():.2f}" if limit else "",
        f"{one.rate() / seeds.rate():.1f}" if seeds else "",
        f"{one.cpu_each():,.0f}",
        f"{limit.cpu_each() / one.cpu_each():.2f}" if limit and one.cpu_each() else "",
        f"{seeds.cpu_each() / one.cpu_each():.0f}" if seeds and one.cpu_each() else "",
        f"{statistics.median(one.database) / one.events:,.0f}",
        f"{statistics.median(one.redis) / one.events:,.0f}",
        f"{ordered[len(ordered) // 2] * 1000:.2f}",
        f"{ordered[len(ordered) * 99 // 100] * 1000:.1f}",
        f"{one.megabytes:.0f}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
