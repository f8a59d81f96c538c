"""What a path's measurement stands on: the run's servers, its sizes, and each program once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import data
from bench.gun import fire
from bench.rounds import Contender, Figures, run
from bench.servers import PACKAGES, SECRET, Program, Servers

OURS = "config.wsgi:application"


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    consumers: tuple[int, ...]
    events: int  # rows in the table before usage is measured
    seconds: float
    rounds: int
    connections: int
    customers: int  # of Stripe's, that events are about


TINY = Sizes((50,), 500, 0.2, 1, 4, 3)
QUICK = Sizes((1_000, 100_000), 100_000, 2.0, 3, 64, 50)
FULL = Sizes((1_000, 100_000, 1_000_000), 10_000_000, 3.0, 5, 64, 50)


@dataclass
class Field:
    servers: Servers
    sizes: Sizes
    baselines: bool  # whether the programs we compare with are installed
    _programs: dict[tuple[object, ...], Program] = field(default_factory=dict)

    def furnish(self, consumers: int) -> None:
        """Consumers up to so many; for the others, too, if they take part."""
        data.furnish(consumers)
        if self.baselines:
            self._ask_baseline("seeds", str(consumers), data.APP_KEY)

    def run(
        self, contenders: Sequence[Contender], *, warm_up: int = 0, seconds: float = 0.0
    ) -> dict[str, Figures]:
        """Measure in turns; before, each is sent so many of its requests once."""
        for one in contenders:
            once = replace(one.plan, shots=_first(one.plan.shots, warm_up), repeats=False)
            if warm_up:
                fire(one.program.port, once, connections=4, seconds=60)
        sizes = self.sizes
        return run(
            self.servers,
            contenders,
            rounds=sizes.rounds,
            seconds=seconds or sizes.seconds,
            connections=sizes.connections,
        )

    # --- The programs, each started when it is asked for first ---

    def bare(self, body: bytes) -> Program:
        path = data.keep_body(self.servers.base, f"bare-{len(body)}", body)
        return self._wsgi("bare granian", "bench.baselines.bare:application", BENCH_BODY=path)

    def ours(self, **settings: str) -> Program:
        return self._wsgi("latchkey", OURS, **settings)

    def seeds(self) -> Program:
        name = ("seeds",)
        if name not in self._programs:
            program = self.servers.serve_asgi(
                "seeds", "bench.baselines.seeds:app", **self._baseline_environment()
            )
            self._programs[name] = program
        return self._programs[name]

    def drf(self) -> Program:
        target = "bench.baselines.drf_api_key:application"
        return self._wsgi("drf", target, **self._baseline_environment())

    def djstripe(self, **changes: str) -> Program:
        target = "bench.baselines.djstripe_view:application"
        return self._wsgi("djstripe", target, **self._djstripe_environment(), **changes)

    def keys_of_drf(self, count: int) -> list[str]:
        """New keys of djangorestframework-api-key."""
        return self._ask_baseline("drf_api_key", str(count)).split()

    def customers_of_djstripe(self) -> list[str]:
        """Customers that both Stripe's place and dj-stripe know."""
        return self._ask_baseline("djstripe_view", str(self.sizes.customers)).split()

    def recompute_of_seeds(self, times: int) -> list[float]:
        """The seconds that each took them."""
        return [float(line) for line in self._ask_baseline("seeds_recompute", str(times)).split()]

    def _wsgi(self, name: str, target: str, **changes: str) -> Program:
        known = (name, *sorted(changes.items()))
        if known not in self._programs:
            self._programs[known] = self.servers.serve_wsgi(name, target, **changes)
        return self._programs[known]

    def _ask_baseline(self, module: str, *arguments: str) -> str:
        changes = self._baseline_environment()
        if module == "djstripe_view":
            changes = self._djstripe_environment()
        done = subprocess.run(
            [sys.executable, "-m", f"bench.baselines.{module}", *arguments],
            env={**self.servers.environment, **changes},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{module}: {done.stdout}{done.stderr}")
        return done.stdout

    def _baseline_environment(self) -> dict[str, str]:
        postgres = self.servers.postgres
        for name in ("bench_seeds", "bench_drf", "bench_djstripe"):
            postgres.ensure_database(name)
        return {
            "BENCH_WEBHOOK_SECRET": SECRET,
            "BENCH_POSTGRES": str(postgres.sockets),
            "BENCH_SEEDS_URL": f"postgresql+psycopg://postgres@/bench_seeds?host={postgres.sockets}",
            "DJANGO_SETTINGS_MODULE": "",
        }

    def _djstripe_environment(self) -> dict[str, str]:
        if ("sandbox",) not in self._programs:
            self._programs["sandbox",] = self.servers.serve_sandbox()
        port = self._programs["sandbox",].port
        return {**self._baseline_environment(), "BENCH_STRIPE": f"http://127.0.0.1:{port}"}


def _first(shots, count):  # type: ignore[no-untyped-def]
    def made(part, parts):  # type: ignore[no-untyped-def]
        return shots(part, parts)[: max(1, count // parts)]

    return made


def are_there() -> bool:
    """Whether the packages of the baselines are installed."""
    return (PACKAGES / "fastapi").exists()


def forget(base: Path) -> None:
    shutil.rmtree(base, ignore_errors=True)


def load() -> str:
    return " ".join(f"{each:.1f}" for each in os.getloadavg())
