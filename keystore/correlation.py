"""Which request is this work done for? The id joins log lines, tasks and audit entries."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """The id bound to this thread or task; empty outside of any request."""
    return _request_id.get()


@contextmanager
def bound(request_id: str) -> Iterator[None]:
    """Everything inside works for the request `request_id`."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)
