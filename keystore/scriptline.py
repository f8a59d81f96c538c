"""A script of Redis, called on a connection per thread, by hand.

redis-py makes and tends the connections, with whatever its address says of users and TLS; but
its way from a call to an answer costs more than the answer. Only integers and lists of them come
back. Nothing is ever sent twice: a reply that got lost may have taken something.
"""

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
from redis.commands.core import Script

from keystore.forks import THIS

END = b"\r\n"
NO_SCRIPT = b"-NOSCRIPT"
IDLE_SECONDS = 0.25  # a line that rested so long is looked at before it is used


class Own(threading.local):
    """The connection of each thread, the process that made it, and when it was last used."""

    connection: Any = None
    process = 0
    used_at = 0.0


class ScriptLine:
    """Calls one script; raises redis.RedisError or OSError."""

    def __init__(self, client: redis.Redis, script: Script) -> None:
        self._client = client
        self._script = script
        self._own = Own()

    def command(self, keys: Sequence[str], args: Sequence[int]) -> bytes:
        """What is to be sent for a call with these: it may be kept and sent again."""
        return _command("EVALSHA", self._script.sha, len(keys), *keys, *args)

    def __call__(self, command: bytes) -> Any:
        try:
            answer = self._ask(command)
            if type(answer) is bytes and answer.startswith(NO_SCRIPT):
                # Nothing ran: a Redis that was emptied.
                self._ask(_command("SCRIPT", "LOAD", self._script.script))
                answer = self._ask(command)
            return usable(answer)
        except BaseException:  # an interruption, too: what comes late would be the next one's
            self._hang_up()
            raise

    def _ask(self, command: bytes) -> Any:
        line = self._line()
        line.sendall(command)
        answer = b""
        while True:
            more = line.recv(65536)
            if not more:
                raise redis.ConnectionError("Redis hung up")
            answer += more
            if answer.endswith(END):
                with suppress(IndexError):  # more is to come
                    return _read(answer.split(END)[:-1], 0)[0]

    def _line(self) -> socket.socket:
        own, at = self._own, time.monotonic()
        rested, own.used_at = at - own.used_at, at
        if own.connection is not None and own.process == THIS.process:
            line: socket.socket = own.connection._sock
            # Nobody asked anything: whatever waits to be read is its end.
            if rested < IDLE_SECONDS or not select.select([line], [], [], 0)[0]:
                return line
            self._hang_up()
        own.connection = self._client.connection_pool.make_connection()
        own.process = THIS.process
        own.connection.connect()
        made: socket.socket = own.connection._sock
        _let_kernel_wait(made)
        return made

    def _hang_up(self) -> None:
        connection, self._own.connection = self._own.connection, None
        if connection is not None:
            connection.disconnect()


def _let_kernel_wait(line: socket.socket) -> None:
    """Python asks before each read and write whether the time is up: the kernel can tell, too.

    Not of TLS, which would go on after the kernel gave up.
    """
    seconds = line.gettimeout()
    if seconds is None or isinstance(line, ssl.SSLSocket):
        return
    whole = int(seconds)
    limit = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
    line.settimeout(None)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def usable(answer: Any) -> Any:
    """The integer or the list. Raises redis.ResponseError for what Redis refused."""
    if type(answer) is bytes and answer.startswith(b"-"):
        raise redis.ResponseError(answer[1:].decode(errors="replace"))
    return answer


def _read(lines: list[bytes], place: int) -> tuple[Any, int]:
    """The value that begins in this line, and the line after it."""
    line = lines[place]
    if line[:1] == b"$":  # a text, which only SCRIPT LOAD answers with
        return lines[place + 1], place + 2
    if line[:1] != b"*":
        return (int(line[1:]) if line[:1] == b":" else line), place + 1
    count, place = int(line[1:]), place + 1
    plain = lines[place : place + count]
    if len(plain) == count and all(one[:1] == b":" for one in plain):
        return [int(one[1:]) for one in plain], place + count
    values = []
    for _ in range(count):
        value, place = _read(lines, place)
        values.append(value)
    return values, place


def _command(*words: object) -> bytes:
    texts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    parts = [b"$%d\r\n%b\r\n" % (len(text), text) for text in texts]
    return b"*%d\r\n" % len(texts) + b"".join(parts)
