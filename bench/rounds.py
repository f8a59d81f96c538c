"""Programs loaded in turns, so that a noisy machine is noisy for all of them; medians, ratios."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.gun import Fired, Plan
from bench.servers import Program, Servers


@dataclass(frozen=True)
class Contender:
    """A program and what it is sent; `events` of each request are what is counted."""

    name: str
    program: Program
    plan: Plan
    events: int = 1
    warm_up: int = 0  # requests that are sent once before


@dataclass
class Seen:
    """What the rounds of one contender saw."""

    events: int
    answered: int = 0  # in all, the warm-up included
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # µs of the server for each request
    database: list[float] = field(default_factory=list)
    redis: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    memory: tuple[float, float] = (0.0, 0.0)

    def figures(self) -> dict[str, float]:
        ordered = sorted(self.latencies)
        rate, cpu, database, redis = map(
            statistics.median, (self.rates, self.cpu, self.database, self.redis)
        )
        return {
            "per_s": rate * self.events,
            "cpu_us": cpu / self.events,
            "pg_us": database / self.events,
            "redis_us": redis / self.events,
            "all_us": (cpu + database + redis) / self.events,
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
            "rss_mb": self.memory[0],
            "pss_mb": self.memory[1],
            "answered": self.answered * self.events,
        }


def run(
    servers: Servers,
    contenders: Sequence[Contender],
    *,
    rounds: int,
    fire: Callable[[Program, Plan], Fired],
) -> dict[str, dict[str, float]]:
    """Every contender once before the rounds, and once in each; its figures."""
    seen = {one.name: Seen(one.events) for one in contenders}
    for one in contenders:
        seen[one.name].answered += fire(one.program, one.plan).count
    for _ in range(rounds):
        for one in contenders:
            _measure(servers, one, seen[one.name], fire)
    return {name: one.figures() for name, one in seen.items()}


def _measure(
    servers: Servers, one: Contender, seen: Seen, fire: Callable[[Program, Plan], Fired]
) -> None:
    clocks = (one.program.cpu_seconds, servers.database_cpu_seconds, servers.redis_cpu_seconds)
    before = [clock() for clock in clocks]
    fired = fire(one.program, one.plan)
    used = [clock() - start for clock, start in zip(clocks, before, strict=True)]
    if fired.count == 0:
        raise RuntimeError(f"{one.name} answered nothing")
    seen.answered += fired.count
    seen.rates.append(fired.rate)
    for series, spent in zip((seen.cpu, seen.database, seen.redis), used, strict=True):
        series.append(spent / fired.count * 1e6)
    seen.latencies.extend(fired.latencies)
    seen.memory = max(seen.memory, one.program.megabytes())
