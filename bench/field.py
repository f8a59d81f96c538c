"""What a path's measurement stands on: the run's servers, its sizes, and each program once."""

import subprocess
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench import data, events
from bench.gun import Fired, Plan, fire
from bench.places import Databases, Place
from bench.record import Figures
from bench.rounds import Contender, run
from bench.servers import PACKAGES, SECRET, Program, Servers
from config import paths

OURS = "config.wsgi:application"


@dataclass(frozen=True)
class Sizes:
    """How much is measured, and where."""

    places: tuple[Place, ...]
    seconds: float
    rounds: int
    connections: int
    customers: int = 50  # of Stripe's, that events are about
    new_events: int = 100_000  # that a roll-up finds
    reconciled: int = 20_000  # subscriptions
    generators: int = 2  # processes that load a program


# A path says by these names where it is measured; the last place stands in for those after it.
SMALL, MIDDLE, LARGE = "small", "middle", "large"
TINY = Sizes((Place(SMALL, 50, 300),), 0.05, 1, 4, 3, 300, 0, 0)
QUICK = Sizes((Place(SMALL, 1_000, 0), Place(MIDDLE, 100_000, 100_000)), 1.0, 3, 64)
FULL = Sizes(
    (Place(SMALL, 1_000, 0), Place(MIDDLE, 100_000, 0), Place(LARGE, 1_000_000, 10_000_000)),
    *(2.0, 3, 64),
    reconciled=100_000,
)


@dataclass
class Field:
    servers: Servers
    sizes: Sizes
    baselines: bool  # whether the others take part
    databases: Databases
    place: Place = field(init=False)
    _programs: dict[tuple[object, ...], Program] = field(default_factory=dict)

    def open(self, place: Place) -> None:
        """Programs and databases of that size; those of another size end."""
        self.close()
        self.place = place
        self.servers.forget_counters()
        size = f"_{place.consumers}_{place.events}"
        data.use(self.databases.copy("latchkey", size, self._furnish, of=paths.DATABASE))
        if self.baselines:
            self.databases.copy("seeds", f"_{place.consumers}", self._furnish_seeds)

    def close(self) -> None:
        data.leave()
        for program in self._programs.values():
            self.servers.end(program)
        self._programs.clear()

    def end(self, program: Program) -> None:
        """Stop one program; when it is asked for again, it begins anew."""
        known = next(key for key, one in self._programs.items() if one is program)
        self.servers.end(self._programs.pop(known))

    def run(self, contenders: Sequence[Contender], *, connections: int = 0) -> Figures:
        """Measure in turns, what must be warm warmed up before."""
        for one in contenders:
            if one.warm_up:
                shots = _first(one.plan.shots, one.warm_up)
                once = replace(one.plan, shots=shots, repeats=False)
                self.fire(one.program, once, connections=4, seconds=60)
        fire = partial(self.fire, connections=min(connections, self.sizes.connections))
        return run(self.servers, contenders, rounds=self.sizes.rounds, fire=fire)

    def fire(
        self, program: Program, plan: Plan, *, seconds: float = 0.0, connections: int = 0
    ) -> Fired:
        """Load one program, as the run's sizes say."""
        return fire(
            program.port,
            plan,
            seconds=seconds or self.sizes.seconds,
            connections=connections or self.sizes.connections,
            processes=self.sizes.generators,
        )

    # --- The programs, each started when it is asked for first ---

    def bare(self) -> Program:
        return self._wsgi("bare", "bench.baselines.bare:application", BENCH_BODIES=self._bodies())

    def bare_path(self, body: bytes) -> str:
        """The path by which the bare server answers with this body."""
        name = f"{zlib.crc32(body):08x}"
        (Path(self._bodies()) / name).write_bytes(body)
        return f"/bare/{name}"

    def ours(self, **settings: str) -> Program:
        return self._wsgi("latchkey", OURS, **self.own_environment(), **settings)

    def own_environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.servers.url("run_latchkey")}

    def seeds(self) -> Program:
        name = ("seeds",)
        if name not in self._programs:
            told = self._baseline_environment()
            self._programs[name] = self.servers.serve_asgi(
                "seeds", "bench.baselines.seeds:app", **told
            )
        return self._programs[name]

    def drf(self) -> Program:
        target = "bench.baselines.drf_api_key:application"
        return self._wsgi("drf", target, **self._baseline_environment())

    def djstripe(self, **changes: str) -> Program:
        target = "bench.baselines.djstripe_view:application"
        return self._wsgi("djstripe", target, **self._djstripe_environment(), **changes)

    def keys_of_drf(self, count: int) -> list[str]:
        """New keys of djangorestframework-api-key."""
        self.databases.copy("drf", "", lambda name: None)
        return self._ask_baseline("drf_api_key", str(count)).split()

    def customers_of_djstripe(self) -> list[str]:
        """Customers that both Stripe's place and dj-stripe know."""
        self.databases.copy("djstripe", "", self._migrate_djstripe)
        told = self._djstripe_environment()
        return self._ask_baseline("djstripe_view", str(self.sizes.customers), told=told).split()

    def recompute_of_seeds(self, times: int) -> list[list[float]]:
        """Seconds, and seconds of its CPU, of each."""
        lines = self._ask_baseline("seeds_recompute", str(times)).splitlines()
        return [[float(cell) for cell in line.split()] for line in lines]

    def _wsgi(self, name: str, target: str, **changes: str) -> Program:
        known = (name, *sorted(changes.items()))
        if known not in self._programs:
            self._programs[known] = self.servers.serve_wsgi(name, target, **changes)
        return self._programs[known]

    def _bodies(self) -> str:
        folder = self.servers.base / "bodies"
        folder.mkdir(exist_ok=True)
        return str(folder)

    # --- What is in the databases ---

    def _furnish(self, database: str) -> None:
        data.use(database)
        data.furnish(self.place.consumers)
        events.fill_events(self.place.events)
        data.leave()

    def _furnish_seeds(self, database: str) -> None:
        told = self._baseline_environment(BENCH_SEEDS_URL=self._seeds_url(database))
        self._ask_baseline("seeds", str(self.place.consumers), data.APP_KEY, told=told)

    def _migrate_djstripe(self, database: str) -> None:
        told = {**self._djstripe_environment(), "BENCH_DJSTRIPE": database}
        self._ask_baseline("djstripe_view", told=told)

    def _ask_baseline(
        self, module: str, *arguments: str, told: dict[str, str] | None = None
    ) -> str:
        done = subprocess.run(
            [sys.executable, "-m", f"bench.baselines.{module}", *arguments],
            env={**self.servers.environment, **(told or self._baseline_environment())},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{module}: {done.stdout}{done.stderr}")
        return done.stdout

    def _baseline_environment(self, **changes: str) -> dict[str, str]:
        return {
            "BENCH_WEBHOOK_SECRET": SECRET,
            "BENCH_POSTGRES": str(self.servers.postgres.sockets),
            "BENCH_SEEDS_URL": self._seeds_url("run_seeds"),
            "DJANGO_SETTINGS_MODULE": "",
            **changes,
        }

    def _djstripe_environment(self) -> dict[str, str]:
        if ("sandbox",) not in self._programs:
            self._programs["sandbox",] = self.servers.serve_sandbox()
        port = self._programs["sandbox",].port
        return self._baseline_environment(BENCH_STRIPE=f"http://127.0.0.1:{port}")

    def _seeds_url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.servers.postgres.sockets}"


def _first(shots, count):  # type: ignore[no-untyped-def]
    def made(part, parts):  # type: ignore[no-untyped-def]
        return shots(part, parts)[: max(1, count // parts)]

    return made


def are_there() -> bool:
    """Whether the packages of the baselines are installed."""
    return (PACKAGES / "fastapi").exists()
