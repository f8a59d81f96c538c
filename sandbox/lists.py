"""Lists as Stripe gives them: newest first, by cursor, filtered by the documented fields."""

from typing import Any

from sandbox.errors import invalid
from sandbox.store import Object

CURSOR = {"limit", "starting_after", "ending_before"}
MOST = 100
COMPARE = {
    "gte": lambda x, bound: x >= bound,
    "gt": lambda x, bound: x > bound,
    "lte": lambda x, bound: x <= bound,
    "lt": lambda x, bound: x < bound,
}


def list_of(items: list[Object], *, url: str, has_more: bool = False) -> Object:
    return {"object": "list", "data": items, "has_more": has_more, "url": url}


def paginate(items: list[Object], params: dict[str, Any], *, url: str) -> Object:
    """The page that limit, starting_after and ending_before ask for."""
    limit = params.get("limit", 10)
    if not 1 <= limit <= MOST:
        raise invalid(
            f"Invalid integer: {limit}: limit must be between 1 and {MOST}.", param="limit"
        )
    first, last = 0, len(items)
    if "starting_after" in params:
        first = _position(items, params, "starting_after") + 1
    if "ending_before" in params:
        last = _position(items, params, "ending_before")
        start = max(first, last - limit)
        return list_of(items[start:last], url=url, has_more=start > first)
    page = items[first : first + limit]
    return list_of(page, url=url, has_more=first + limit < last)


def _position(items: list[Object], params: dict[str, Any], name: str) -> int:
    wanted = params[name]
    for index, item in enumerate(items):
        if item.get("id") == wanted:
            return index
    raise invalid(f"No such object: '{wanted}'", param=name, code="resource_missing")


def matching(items: list[Object], filters: dict[str, Any]) -> list[Object]:
    """The objects whose fields are as the documented filters say."""
    wanted = {k: v for k, v in filters.items() if k not in CURSOR}
    return [item for item in items if all(_fits(item, k, v) for k, v in wanted.items())]


def _fits(item: Object, name: str, wanted: Any) -> bool:
    if name in item and isinstance(item[name], int) and not isinstance(item[name], bool):
        bounds = wanted if isinstance(wanted, dict) else {"gte": wanted, "lte": wanted}
        return all(COMPARE[op](item[name], bound) for op, bound in bounds.items())
    if name in ("ids", "types", "lookup_keys"):
        return item.get(name.removesuffix("s")) in wanted
    if name not in item:
        return True
    held = item[name]
    if isinstance(wanted, dict) and isinstance(held, dict):
        return all(held.get(key) == value for key, value in wanted.items())
    return bool(held == wanted)
