"""A load of raw HTTP/1.1 over connections that stay open: one answer, then the next request."""

import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

TICKS = 100  # of /proc a second, on every Linux


@dataclass
class Measured:
    """What came back, and what it cost the server."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    taken: list[float] = field(default_factory=list)

    @property
    def answers(self) -> int:
        return sum(self.statuses.values())

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of the web processes' CPU for each answer."""
        return self.cpu_seconds / self.answers * 1_000_000

    def percentile(self, part: float) -> float:
        """Milliseconds within which this part of the answers came."""
        ordered = sorted(self.taken)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000

    def add(self, other: "Measured") -> None:
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds
        self.statuses.update(other.statuses)
        self.taken += other.taken


@dataclass
class Asker:
    connection: socket.socket
    sent_at: float = 0.0
    waiting: bytes = b""


def load(
    port: int,
    requests: list[bytes] | Callable[[], bytes],
    *,
    seconds: float,
    connections: int = 64,
    pids: list[int],
) -> Measured:
    """Ask in turn for `seconds`, `connections` requests at a time. Statuses are counted."""
    following: Iterator[bytes] = iter(requests, b"") if callable(requests) else cycle(requests)
    poll, askers = select.epoll(), {}
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        askers[connection.fileno()] = Asker(connection)
        poll.register(connection, select.EPOLLIN)
    found, cpu = Measured(), cpu_of(pids)
    began = time.perf_counter()
    for asker in askers.values():
        _send(asker, next(following))
    open_requests = connections
    while open_requests:
        for number, _ in poll.poll():
            if not _receive(askers[number], found):
                continue
            if time.perf_counter() - began < seconds:
                _send(askers[number], next(following))
            else:
                open_requests -= 1
    found.seconds = time.perf_counter() - began
    found.cpu_seconds = cpu_of(pids) - cpu
    for asker in askers.values():
        asker.connection.close()
    return found


def cpu_of(pids: list[int]) -> float:
    """Seconds of CPU that these processes have used, all of their threads together."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_of(pids: list[int]) -> float:
    """Megabytes that belong to these processes alone or in part (PSS), the largest of them."""
    return max(_pss(pid) for pid in pids) / 1000


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _send(asker: Asker, request: bytes) -> None:
    asker.sent_at = time.perf_counter()
    asker.connection.sendall(request)


def _receive(asker: Asker, found: Measured) -> bool:
    """Whether the answer is complete."""
    asker.waiting += asker.connection.recv(65536)
    head, end, body = asker.waiting.partition(b"\r\n\r\n")
    if not end or len(body) < _length(head):
        return False
    found.statuses[int(head[9:12])] += 1
    found.taken.append(time.perf_counter() - asker.sent_at)
    asker.waiting = b""
    return True


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.find(b"content-length:")
    return int(lower[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
