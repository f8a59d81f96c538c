"""How long do transactions stay open, sampled from outside?"""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

SAMPLE = """
select extract(epoch from clock_timestamp() - xact_start)::float8, state, left(query, 200)
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
"""


@dataclass
class Watch:
    """Samples pg_stat_activity between enter and exit; keeps the oldest transaction seen."""

    stack: Any
    oldest_seconds: float = 0.0
    oldest: tuple[str, str] = ("", "")
    samples: int = 0
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        with self.stack.postgres.connect("latchkey") as connection:
            while not self._end.is_set():
                for seconds, state, query in connection.execute(SAMPLE).fetchall():
                    if seconds > self.oldest_seconds:
                        self.oldest_seconds, self.oldest = seconds, (state, query)
                self.samples += 1
                time.sleep(0.01)
