"""Rate limits in the memory of one process, for the time without Redis: it admits its share."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from keystore.limits import Limit, Verdict, all_allow, verdict_on

MOST_SUBJECTS = 20_000
LOCAL_GRAINS = 32  # coarser than Redis': many subjects must fit into the memory


def share_of(limit: Limit, processes: int) -> Limit:
    """What one of so many processes may admit, so that together they stay within `limit`.

    Less than one call each: one in a window that is longer.
    """
    if limit.limit >= processes:
        burst = limit.burst and max(1, limit.burst // processes)
        return replace(limit, limit=limit.limit // processes, burst=burst)
    longer = -(-limit.window_seconds * processes // limit.limit)
    return replace(limit, limit=1, window_seconds=longer, burst=limit.burst and 1)


@dataclass(slots=True)
class Bucket:
    """GCRA: the instant at which all of the burst fits again."""

    tat: int = 0

    def look(self, limit: Limit, cost: int, now: int) -> Verdict:
        interval, room = limit.interval_us, limit.interval_us * (limit.burst or 1)
        self.tat = min(max(self.tat, now), now + room)
        over = self.tat + interval * cost - now - room
        free = (now + room - self.tat) // interval
        return verdict_on(limit, over <= 0, free, self.tat - now, max(0, over))

    def take(self, limit: Limit, cost: int, now: int) -> None:
        self.tat += limit.interval_us * cost

    @property
    def free_at(self) -> int:
        return self.tat


@dataclass(slots=True)
class Window:
    """What was admitted when: [latest instant, calls] per grain."""

    entries: deque[list[int]] = field(default_factory=deque)
    used: int = 0
    free_at: int = 0

    def look(self, limit: Limit, cost: int, now: int) -> Verdict:
        while self.entries and self.entries[0][0] <= now - limit.window_us:
            self.used -= self.entries.popleft()[1]
        excess = self.used + cost - limit.limit
        wait = self._until_free(excess, limit, now) if excess > 0 else 0
        reset = max(0, self.free_at - now) if self.used else 0
        return verdict_on(limit, excess <= 0, limit.limit - self.used, reset, wait)

    def take(self, limit: Limit, cost: int, now: int) -> None:
        grain = limit.window_us // LOCAL_GRAINS
        coarse = self.entries and limit.limit > LOCAL_GRAINS
        if coarse and now // grain == self.entries[-1][0] // grain:
            self.entries[-1][0] = now
            self.entries[-1][1] += cost
        else:
            self.entries.append([now, cost])
        self.used += cost
        self.free_at = now + limit.window_us

    def _until_free(self, excess: int, limit: Limit, now: int) -> int:
        for instant, calls in self.entries:
            excess -= calls
            if excess <= 0:
                return instant + limit.window_us - now
        return limit.window_us


class LocalLimits:
    """As the script in Redis, all limits of a subject or none, in this process alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Bucket | Window] = {}

    def take(self, subject: str, limits: Sequence[Limit], cost: int) -> list[Verdict]:
        with self._lock:
            now = int(self._clock() * 1_000_000)
            kept = [self._kept_for(subject, limit) for limit in limits]
            pairs = list(zip(kept, limits, strict=True))
            looked = [one.look(limit, cost, now) for one, limit in pairs]
            if not cost or not all_allow(looked):
                return looked
            for one, limit in pairs:
                one.take(limit, cost, now)
                self._keep(subject, limit, one, now)
            # Looked at once more, for what is left.
            left = (one.look(limit, 0, now) for one, limit in pairs)
            return [replace(one, allowed=True) for one in left]

    def __len__(self) -> int:
        return len(self._kept)

    def _kept_for(self, subject: str, limit: Limit) -> Bucket | Window:
        kind = Window if limit.burst is None else Bucket
        found = self._kept.get((subject, limit.name))
        return found if isinstance(found, kind) else kind()

    def _keep(self, subject: str, limit: Limit, one: Bucket | Window, now: int) -> None:
        """Forget what is free again; when nothing is, what was taken first."""
        if (subject, limit.name) not in self._kept and len(self._kept) >= MOST_SUBJECTS:
            self._kept = {name: kept for name, kept in self._kept.items() if kept.free_at > now}
            while len(self._kept) >= MOST_SUBJECTS:
                del self._kept[next(iter(self._kept))]
        self._kept[subject, limit.name] = one
