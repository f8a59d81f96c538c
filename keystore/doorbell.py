"""Tell the worker that there is something to do, without ever waiting for the broker.

Rows remember what is to be done and sweepers find it; a ring that is lost costs seconds, no work.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable
from time import sleep

from keystore.correlation import bound, current_request_id

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
# Between two rings: under load one ring for many rows, where each would cost as much as its row.
REST_SECONDS = 0.02
Sender = Callable[[str], None]


def rest_a_moment() -> None:
    sleep(REST_SECONDS)


class Doorbell:
    """A bounded queue and one daemon thread that hands task names to the sender."""

    def __init__(self, rest: Callable[[], None] = rest_a_moment) -> None:
        self._rest = rest
        self._sender: Sender | None = None
        self._reset()

    def connect(self, sender: Sender) -> None:
        self._sender = sender

    def ring(self, task_name: str) -> None:
        """Ask for `task_name` soon. A name that already waits is not queued again."""
        if self._sender is None:
            return
        with self._lock:
            if task_name in self._waiting:
                return
            try:
                self._queue.put_nowait((task_name, current_request_id()))
            except queue.Full:
                logger.warning("doorbell full, dropped a ring", extra={"task": task_name})
                return
            self._waiting.add(task_name)
            self._start()

    def _reset(self) -> None:
        """A forked child has the queue of its parent but not the thread: begin anew."""
        self._lock = threading.Lock()
        self._queue: queue.Queue[tuple[str, str]] = queue.Queue(MOST_WAITING)
        self._waiting: set[str] = set()
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="doorbell", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            task_name, request_id = self._queue.get()
            # Before sending: a ring that comes during the sending must not be lost.
            with self._lock:
                self._waiting.discard(task_name)
            self._send(task_name, request_id)
            self._rest()

    def _send(self, task_name: str, request_id: str) -> None:
        sender = self._sender
        if sender is None:
            return
        try:
            with bound(request_id):
                sender(task_name)
        except Exception:
            # Whatever the broker's client raises: the thread must live on, sweepers do the work.
            logger.warning("could not ring", extra={"task": task_name}, exc_info=True)


_doorbell = Doorbell()
os.register_at_fork(after_in_child=_doorbell._reset)


def connect(sender: Sender) -> None:
    """Say who delivers task names; called once by the process that knows the broker."""
    _doorbell.connect(sender)


def ring(task_name: str) -> None:
    """Ask for a task soon. Never blocks, never raises."""
    _doorbell.ring(task_name)
