"""How long do transactions wait for the program that opened them, sampled from outside?"""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

# Not the age of transactions: a COMMIT waits for the disk, which is nobody's fault here.
SAMPLE = """
select extract(epoch from clock_timestamp() - state_change)::float8, left(query, 200)
from pg_stat_activity
where datname = current_database() and state like 'idle in transaction%'
"""


@dataclass
class Watch:
    """Samples pg_stat_activity between enter and exit; keeps the longest wait seen."""

    stack: Any
    longest_seconds: float = 0.0
    last_statement: str = ""
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
                for seconds, statement in connection.execute(SAMPLE).fetchall():
                    if seconds > self.longest_seconds:
                        self.longest_seconds, self.last_statement = seconds, statement
                self.samples += 1
                time.sleep(0.01)
