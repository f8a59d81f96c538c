"""One request at a time, for what must be known before anything is measured."""

import http.client
import json
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import Any


class Unfit(Exception):
    """A program does not do what it is measured for."""


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(port: int, request: bytes) -> Reply:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        length = answer.headers.get("Content-Length")
        return Reply(answer.status, answer.read(int(length)) if length else answer.read())


def must(is_so: bool, what: str, *seen: object) -> None:
    """Refuse to measure a program that answers wrong. Raises Unfit."""
    if not is_so:
        raise Unfit(f"not measured, since it is not so that {what}: {seen!r}")
