"""What goes wrong on purpose, for which requests, and how often."""

import fnmatch
import random
import threading
from dataclasses import dataclass, field

KINDS = (
    "latency",  # waits `seconds`, then executes
    "slow_snapshot",  # executes, then answers `seconds` later what was true before
    "rate_limit",  # 429, not executed, not saved
    "refused",  # 400, not executed: a request that Stripe does not take (any more)
    "server_error",  # 500 without execution, saved under the idempotency key
    "server_error_after",  # executed, but the answer is a 500 that is saved
    "reset_before",  # the connection breaks, nothing was executed
    "reset_after",  # the connection breaks after execution
    "empty_list",  # a list answers as if there were nothing
)


@dataclass
class Fault:
    """`match` is a glob over "METHOD /path"; `times` None means for ever.

    A request that waits says so by `waits`, and goes on after `seconds` or once `let_go` is set.
    """

    match: str
    kind: str
    seconds: float = 0.0
    times: int | None = None
    probability: float = 1.0
    drawn: int = field(default=0, init=False)
    waits: threading.Event = field(default_factory=threading.Event, init=False)
    let_go: threading.Event = field(default_factory=threading.Event, init=False)

    def wait(self) -> None:
        self.waits.set()
        self.let_go.wait(self.seconds)


class Faults:
    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._faults: list[Fault] = []

    def add(
        self,
        match: str,
        kind: str,
        *,
        seconds: float = 0.0,
        times: int | None = None,
        probability: float = 1.0,
    ) -> Fault:
        if kind not in KINDS:
            raise ValueError(f"no fault is called {kind!r}: take one of {', '.join(KINDS)}")
        fault = Fault(match, kind, seconds, times, probability)
        with self._lock:
            self._faults.append(fault)
        return fault

    def seed(self, seed: int) -> None:
        with self._lock:
            self._random.seed(seed)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def draw(self, method: str, path: str) -> dict[str, Fault]:
        """The faults that strike this request, by kind."""
        drawn: dict[str, Fault] = {}
        with self._lock:
            for fault in self._faults:
                if fault.times is not None and fault.drawn >= fault.times:
                    continue
                if not fnmatch.fnmatchcase(f"{method} {path}", fault.match):
                    continue
                if self._random.random() < fault.probability:
                    fault.drawn += 1
                    drawn[fault.kind] = fault
        return drawn
