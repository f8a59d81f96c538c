"""The databases of a run: made once, kept for later runs, and copied for each.

A kept database is called `made_...` and never measured: what a run writes goes into its copy.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.servers import Servers

# What is in a kept database depends on these.
INGREDIENTS = {
    "latchkey": ("data.py", "events.py"),
    "seeds": ("baselines/seeds.py",),
    "drf": (),
    "djstripe": ("baselines/djstripe_view.py",),
}


@dataclass(frozen=True)
class Place:
    """So many consumers, and events in the table."""

    name: str
    consumers: int
    events: int

    def __str__(self) -> str:
        return f"{self.consumers:,} consumers, {self.events:,} events"


class Databases:
    """Kept databases and their copies, in the run's PostgreSQL."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._digests = {kind: _digest(names) for kind, names in INGREDIENTS.items()}

    def forget_old(self, *, fresh: bool) -> None:
        """Drop the copies of earlier runs, and what other code made; `fresh`: everything."""
        with self._servers.postgres.connect() as connection:
            names = connection.execute("SELECT datname FROM pg_database").fetchall()
        for (name,) in names:
            is_made = name.endswith(tuple(self._digests.values()))
            if name.startswith("run_") or (name.startswith("made_") and (fresh or not is_made)):
                self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def copy(self, kind: str, size: str, make: Callable[[str], None], *, of: str = "") -> str:
        """A fresh copy of the kept database of this kind and size; its name.

        `make` fills a new database, itself a copy of `of`, when none is kept yet.
        """
        kept, name = f"made_{kind}{size}_{self._digests[kind]}", f"run_{kind}"
        if not self._is_there(kept):
            began = time.monotonic()
            say(f"making {kind}{size} ...")
            self._execute("DROP DATABASE IF EXISTS unfinished WITH (FORCE)")
            self._execute("CREATE DATABASE unfinished" + (f' TEMPLATE "{of}"' if of else ""))
            make("unfinished")
            self._execute(f'ALTER DATABASE unfinished RENAME TO "{kept}"')
            say(f"made {kind}{size} in {time.monotonic() - began:.0f} s")
        if of:
            self._bring_up_to_date(kept)
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{kept}" STRATEGY FILE_COPY')
        return name

    def _bring_up_to_date(self, kept: str) -> None:
        """Migrate what an earlier version of the product's code made; a comment says which."""
        schema = self._servers.schema
        said = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
        with self._servers.postgres.connect() as connection:
            found = connection.execute(said, [kept]).fetchone()
        if found != (schema,):
            self._servers.migrate(kept)
            self._execute(f"COMMENT ON DATABASE \"{kept}\" IS '{schema}'")

    def _is_there(self, name: str) -> bool:
        with self._servers.postgres.connect() as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            return found.fetchone() is not None

    def _execute(self, statement: str) -> None:
        with self._servers.postgres.connect() as connection:
            connection.execute(statement.encode())


def _digest(names: Sequence[str]) -> str:
    here = Path(__file__).parent
    made_by = b"".join((here / name).read_bytes() for name in names)
    # By the month: events are of this one, and answers change when quotas begin anew.
    return hashlib.sha256(made_by + time.strftime("%Y-%m", time.gmtime()).encode()).hexdigest()[:8]


def say(text: str) -> None:
    """Progress, beside the tables."""
    print(text, file=sys.stderr, flush=True)
