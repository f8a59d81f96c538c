"""A load generator: a few processes with many kept-alive connections, each answer compared.

Requests are bytes made beforehand; an answer counts only if its body is the expected one. The
generator shares the machine with the server, so what it says of a server's speed is a lower bound:
CPU per request (`bench.servers`) does not suffer from that.
"""

import gc
import itertools
import multiprocessing
import select
import socket
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import BrokenBarrierError

# A request, and what its answer must say: the whole body, or (`Plan.exact` false) a part of it.
Shot = tuple[bytes, bytes]
PROCESSES = 2
MOST_BYTES = 1 << 18


class WrongAnswer(Exception):
    """A server answered something else than it should."""


@dataclass(frozen=True)
class Plan:
    """What is sent. `shots(part, parts)` makes one process's share of it.

    `repeats`: the same requests again and again; otherwise each once, and the round ends when they
    are used up.
    """

    shots: Callable[[int, int], Sequence[Shot]]
    repeats: bool = True
    exact: bool = True


@dataclass
class Fired:
    """What one round saw."""

    seconds: float
    latencies: array = field(default_factory=lambda: array("d"))

    @property
    def count(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def fire(
    port: int, plan: Plan, *, connections: int, seconds: float, processes: int = PROCESSES
) -> Fired:
    """Load the server for so long; without processes, from this one. Raises WrongAnswer."""
    parts = min(processes, connections)
    if not parts:
        gun = Gun(port, _source(plan, 0, 1), exact=plan.exact, connections=connections)
        return Fired(*gun.shoot(seconds))
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(parts)
    ends, shooters = [], []
    for part in range(parts):
        mine, theirs = fork.Pipe(duplex=False)
        share = connections // parts + (part < connections % parts)
        shooter = fork.Process(
            target=_shoot_for, args=(theirs, start, port, plan, part, parts, share, seconds)
        )
        shooter.start()
        theirs.close()
        ends.append(mine)
        shooters.append(shooter)
    found = [end.recv() for end in ends]
    for shooter in shooters:
        shooter.join()
    for problem in found:
        if isinstance(problem, str):
            raise WrongAnswer(problem)
    fired = Fired(max(seconds for seconds, _ in found))
    for _, latencies in found:
        fired.latencies.extend(latencies)
    return fired


def _shoot_for(end, start, port, plan, part, parts, connections, seconds):  # type: ignore[no-untyped-def]
    """One process; what it found, or what went wrong, goes through the pipe."""
    try:
        source = _source(plan, part, parts)
        gun = Gun(port, source, exact=plan.exact, connections=connections)
        gc.disable()
        start.wait()
        end.send(gun.shoot(seconds))
    except (WrongAnswer, OSError, BrokenBarrierError) as problem:
        start.abort()
        end.send(f"{type(problem).__name__}: {problem}")


def _source(plan: Plan, part: int, parts: int) -> Iterator[Shot]:
    shots = plan.shots(part, parts)
    return itertools.cycle(shots) if plan.repeats else iter(shots)


class Gun:
    """Connections that each send the next request as soon as they were answered."""

    def __init__(self, port: int, source: Iterator[Shot], *, exact: bool, connections: int) -> None:
        self._source = source
        self._exact = exact
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: dict[int, tuple[bytes, float]] = {}  # what is expected, and since when
        self._poll = select.epoll()
        for _ in range(connections):
            opened = socket.create_connection(("127.0.0.1", port))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[opened.fileno()] = opened
            self._poll.register(opened.fileno(), select.EPOLLIN)

    def shoot(self, seconds: float) -> tuple[float, array]:
        latencies = array("d")
        clock, note, poll = time.perf_counter, latencies.append, self._poll.poll
        sockets, waiting = self._sockets, self._waiting
        began = clock()
        end = began + seconds
        for number, opened in sockets.items():
            self._send(number, opened)
        while waiting:
            for number, _ in poll(10):
                opened = sockets[number]
                if number not in waiting:  # a server ends what was idle too long
                    self._poll.unregister(number)
                    continue
                data = opened.recv(MOST_BYTES)
                expected, sent_at = waiting.pop(number)
                # Most answers come whole; anything else is looked at closely.
                whole = self._exact and data.endswith(expected)
                if not (whole and data.startswith(b"HTTP/1.1 200")):
                    self._complete(opened, data, expected)
                at = clock()
                note(at - sent_at)
                if at < end:
                    self._send(number, opened)
        taken = clock() - began
        for opened in sockets.values():
            opened.close()
        return taken, latencies

    def _send(self, number: int, opened: socket.socket) -> None:
        shot = next(self._source, None)
        if shot is not None:
            self._waiting[number] = (shot[1], time.perf_counter())
            opened.sendall(shot[0])

    def _complete(self, opened: socket.socket, data: bytes, expected: bytes) -> None:
        """Read the rest of the answer and compare."""
        while b"\r\n\r\n" not in data:
            data += _more(opened, data)
        head, _, body = data.partition(b"\r\n\r\n")
        names = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(names[b"content-length"])
        while len(body) < length:
            body += _more(opened, data)
        right = body == expected if self._exact else expected in body
        if not (head.startswith(b"HTTP/1.1 2") and right):
            raise WrongAnswer(f"{head[:300]!r} {body[:300]!r}, expected {expected[:300]!r}")


def _more(opened: socket.socket, data: bytes) -> bytes:
    found = opened.recv(MOST_BYTES)
    if not found:
        raise WrongAnswer(f"the connection ended after {data[:200]!r}")
    return found


def request(
    method: str, path: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> bytes:
    """The bytes of an HTTP request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{n}: {v}" for n, v in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
