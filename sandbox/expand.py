"""Stripe's `expand`: ids in an answer become the objects that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.errors import invalid
from sandbox.registry import expander_for
from sandbox.schema import ONLY_EXPANDED, fields_of, is_known_type, object_class
from sandbox.shapes import copy

if TYPE_CHECKING:
    from sandbox.world import Sandbox

DEEPEST = 4


def expand(sandbox: Sandbox, answer: Any, paths: list[str]) -> Any:
    """`answer` is a copy that may be changed."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > DEEPEST:
            raise invalid(
                f"You cannot expand more than 4 levels of a property: {path}", param="expand"
            )
        _step(sandbox, answer, parts, path)
    return answer


def _step(sandbox: Sandbox, value: Any, parts: list[str], path: str) -> None:
    if isinstance(value, list):
        for item in value:
            _step(sandbox, item, parts, path)
        return
    if not parts or not isinstance(value, dict):
        return
    _refuse_unknown(value, parts[0], path)
    inner = value.get(parts[0])
    if inner is None:
        inner = _hidden(sandbox, value, parts[0])
    elif isinstance(inner, str) and sandbox.store.find(inner):
        inner = copy(sandbox.store.find(inner))
    elif isinstance(inner, list):
        inner = [_named(sandbox, item) for item in inner]
    if inner is not None:
        value[parts[0]] = inner
    _step(sandbox, inner, parts[1:], path)


def _named(sandbox: Sandbox, item: Any) -> Any:
    found = sandbox.store.find(item) if isinstance(item, str) else None
    return copy(found) if found else item


def _hidden(sandbox: Sandbox, value: dict[str, Any], name: str) -> Any:
    kind = str(value.get("object"))
    expander = expander_for(kind, name)
    if expander:
        stored = sandbox.store.find(value.get("id")) or value
        return copy(expander(sandbox, stored))
    if name in ONLY_EXPANDED.get(kind, ()):
        return copy(sandbox.store.secret(value.get("id", ""), name))
    return None


def _refuse_unknown(value: dict[str, Any], name: str, path: str) -> None:
    kind = value.get("object")
    if kind in ("list", "search_result") or not is_known_type(kind) or value.get("deleted"):
        return
    if name not in fields_of(object_class(str(kind))):
        message = f"This property cannot be expanded ({path})."
        raise invalid(message, param="expand")
