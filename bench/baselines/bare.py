"""Bare granian WSGI: the least that a Python server can do with a request.

It reads the body and answers bytes that were made beforehand, in as many headers as one may send.
`/bare/NAME` is what the file NAME in BENCH_BODIES holds, read once.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Known = tuple[list[tuple[str, str]], tuple[bytes]]
known: dict[str, Known] = {}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    headers, answer = known.get(path) or read(path)
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read()
    start_response("200 OK", headers)
    return answer


def read(path: str) -> Known:
    body = (Path(os.environ["BENCH_BODIES"]) / Path(path).name).read_bytes()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    known[path] = (headers, (body,))
    return known[path]
