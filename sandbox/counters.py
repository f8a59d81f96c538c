"""How often was each call executed: the oracle for "once"."""

import threading
from collections import Counter
from typing import Any


class Counters:
    """Counts executions that changed something or would have: replays and refusals do not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes: Counter[str] = Counter()
        self._operations: Counter[tuple[str, str]] = Counter()

    def record(self, *, route: str, params: dict[str, Any]) -> None:
        metadata = params.get("metadata")
        operation = metadata.get("operation_id") if isinstance(metadata, dict) else None
        with self._lock:
            self._routes[route] += 1
            if operation:
                self._operations[(str(operation), route)] += 1

    def executions(self, *, route: str | None = None, operation_id: str | None = None) -> int:
        """Executions of `POST /v1/refunds`, of one metadata.operation_id, of both, or of all."""
        with self._lock:
            if operation_id is None:
                return sum(self._routes.values()) if route is None else self._routes[route]
            return sum(
                count
                for (operation, of), count in self._operations.items()
                if operation == operation_id and route in (None, of)
            )

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            operations: dict[str, dict[str, int]] = {}
            for (operation, route), count in self._operations.items():
                operations.setdefault(operation, {})[route] = count
            return {"routes": dict(self._routes), "operations": operations}

    def clear(self) -> None:
        with self._lock:
            self._routes.clear()
            self._operations.clear()
