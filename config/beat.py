"""Beat: rings each periodic job once per interval, however many beats run.

When a job was last rung is a row in PostgreSQL, and whoever rings must first move it on. So a
second beat rings nothing twice and takes over within one interval when the first is gone. A beat
that starts again goes on where it stopped: a daily job comes daily, however often beat starts.
"""

import logging
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from django.db import DatabaseError, connections

from config import alive

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class ClaimingScheduler(Scheduler):
    """Celery's timetable in memory, its truth in the table of jobs."""

    knows_the_rings = False

    def tick(self, *args: Any, **options: Any) -> float:
        """While PostgreSQL is away nothing is rung: every job would ask it."""
        alive.touch()
        if not self.knows_the_rings and not self.resume():
            return RETRY_SECONDS
        return float(super().tick(*args, **options))

    def resume(self) -> bool:
        """Go on from the last ring of each job, whichever beat it was that rang."""
        from keystore import jobs  # Celery reads this file before the apps are loaded

        try:
            rings = jobs.last_rings(names=list(self.schedule))
        except DatabaseError as problem:
            self.lose_the_database(problem)
            return False
        for name, rung_at in rings.items():
            self.schedule[name].last_run_at = rung_at
        self._heap = None  # computed anew with the next tick
        self.knows_the_rings = True
        return True

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        if self.claims(entry):
            super().apply_entry(entry, producer=producer)

    def claims(self, entry: ScheduleEntry) -> bool:
        from keystore import jobs

        try:
            return jobs.claim_ring(
                name=entry.name, every_seconds=entry.schedule.run_every.total_seconds()
            )
        except DatabaseError as problem:
            self.lose_the_database(problem)
            return False

    def lose_the_database(self, problem: DatabaseError) -> None:
        self.knows_the_rings = False
        connections.close_all()
        logger.warning("beat.waits", extra={"why": repr(problem)})
