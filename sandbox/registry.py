"""Where resources and pages announce what they answer: the plug points of the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.schema import Route, match_segments
from sandbox.store import Object, Store

if TYPE_CHECKING:
    from sandbox.world import Sandbox


@dataclass
class Call:
    """One checked request: `ids` from its path, `params` as typed values, `expand` apart."""

    sandbox: Sandbox
    method: str
    path: str
    template: str
    ids: list[str]
    params: dict[str, Any]
    expand: list[str] = field(default_factory=list)
    route: Route | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.sandbox.store

    @property
    def id(self) -> str:
        """The first id in the path."""
        return self.ids[0]

    def given(self, kind: str, name: str) -> Object | None:
        """The object that a parameter names, None without it; refuses an unknown one."""
        id = self.params.get(name)
        return self.store.get(kind, id, param=name, status=400) if id else None


@dataclass(frozen=True)
class PageRequest:
    sandbox: Sandbox
    ids: list[str]
    query: dict[str, str]
    form: dict[str, str]


@dataclass(frozen=True)
class PageAnswer:
    body: str | bytes
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Any]
PageHandler = Callable[[PageRequest], PageAnswer]
Expander = Callable[["Sandbox", Object], Any]
Due = Iterator[tuple[int, Callable[[int], object]]]  # what happens at which unix second
Timer = Callable[["Sandbox", "str | None"], Due]

_handlers: dict[str, Handler] = {}
_undocumented: list[tuple[str, list[str], Handler]] = []
_pages: list[tuple[str, list[str], PageHandler]] = []
_expanders: dict[tuple[str, str], Expander] = {}
timers: list[Timer] = []


def _normal(operation: str) -> tuple[str, list[str]]:
    method, _, template = operation.partition(" ")
    segments = template.strip("/").split("/")
    return method, ["{}" if part.startswith("{") else part for part in segments]


def _key(operation: str) -> str:
    method, segments = _normal(operation)
    return f"{method} /{'/'.join(segments)}"


def on(operation: str, *, documented: bool = True) -> Callable[[Handler], Handler]:
    """Answer `POST /v1/customers/{id}`; undocumented calls get their parameters unchecked."""

    def register(handler: Handler) -> Handler:
        if documented:
            _handlers[_key(operation)] = handler
        else:
            _undocumented.append((*_normal(operation), handler))
        return handler

    return register


def page(operation: str) -> Callable[[PageHandler], PageHandler]:
    """Serve `GET /pages/...` to a browser."""

    def register(handler: PageHandler) -> PageHandler:
        _pages.append((*_normal(operation), handler))
        return handler

    return register


def expands(kind: str, name: str) -> Callable[[Expander], Expander]:
    """Give the value of a field that Stripe only sends when asked to expand it."""

    def register(expander: Expander) -> Expander:
        _expanders[(kind, name)] = expander
        return expander

    return register


def timer(source: Timer) -> Timer:
    """Yields (unix second, work) for what happens by itself, on this test clock or on none."""
    timers.append(source)
    return source


def handler_for(method: str, template: str) -> Handler | None:
    return _handlers.get(_key(f"{method} {template}"))


def undocumented_for(method: str, path: str) -> tuple[str, Handler, list[str]] | None:
    return _match(_undocumented, method, path)


def page_for(method: str, path: str) -> tuple[str, PageHandler, list[str]] | None:
    return _match(_pages, method, path)


def expander_for(kind: str, name: str) -> Expander | None:
    return _expanders.get((kind, name))


def _match(table: list[Any], method: str, path: str) -> Any:
    given = path.strip("/").split("/")
    for verb, segments, handler in table:
        if verb == method and len(segments) == len(given):
            ids = match_segments(segments, given)
            if ids is not None:
                return "/" + "/".join(segments), handler, ids
    return None
