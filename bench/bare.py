"""The limit of the server: a WSGI callable that knows its answer and does nothing."""

import os
from collections.abc import Callable, Iterable
from typing import Any

BODY = os.environ.get("BARE_BODY", "{}").encode()
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", HEADERS)
    return (BODY,)
