"""A complete object of any documented type, with what the caller gave filled in."""

import decimal
import functools
import json
import typing
from typing import Literal

from stripe._stripe_object import StripeObject, UntypedStripeObject

from sandbox.check import check_value
from sandbox.schema import ONLY_EXPANDED, UNIONS, fields_of, object_class

EMPTY_LEAVES = {int: 0, float: 0.0, bool: False, str: "", decimal.Decimal: "0"}


def blank(kind: str) -> dict[str, typing.Any]:
    """An object with every field that Stripe always sends, empty."""
    made: dict[str, typing.Any] = json.loads(_blank_text(kind))
    return made


@functools.cache
def _blank_text(kind: str) -> str:
    made = _blank(object_class(kind))
    for field in ONLY_EXPANDED.get(kind, ()):
        made.pop(field, None)
    return json.dumps(made)


def _blank(hint: typing.Any) -> typing.Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return _blank_union(args)
    if origin is Literal:
        return args[0]
    if origin is list:
        return []
    cls = origin or hint
    if cls in (dict, UntypedStripeObject):
        return {}
    if isinstance(cls, type) and StripeObject in cls.__mro__:
        if cls.__name__ == "ListObject":
            return {"object": "list", "data": [], "has_more": False, "url": ""}
        return {k: _blank(h) for k, h in fields_of(cls).items() if k != "deleted"}
    return EMPTY_LEAVES.get(hint)


def _blank_union(args: tuple) -> typing.Any:
    if type(None) in args:
        return None
    literals = [a for a in args if typing.get_origin(a) is Literal]
    return _blank(literals[0] if literals else str if str in args else args[0])


def fill(kind: str, given: dict[str, typing.Any]) -> dict[str, typing.Any]:
    """A complete object that takes over each given parameter that fits its field."""
    made = blank(kind)
    take(made, kind, given)
    return made


def take(
    target: dict[str, typing.Any], kind: str, given: dict[str, typing.Any]
) -> dict[str, typing.Any]:
    """Write the parameters that are also fields of the object; the rest is for the caller."""
    fields = fields_of(object_class(kind))
    for key, value in given.items():
        if key not in fields or key == "metadata":
            continue
        filled = None if value == "" else _fill(fields[key], value)
        if not check_value(filled, fields[key]):
            target[key] = filled
    return target


def _fill(hint: typing.Any, given: typing.Any) -> typing.Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if given is None:
        return _blank(hint)
    if origin in UNIONS:
        return _fill_union(args, given)
    if origin is list and isinstance(given, list):
        return [_fill(args[0], item) for item in given]
    is_record = isinstance(hint, type) and issubclass(hint, StripeObject)
    if is_record and isinstance(given, dict) and hint is not UntypedStripeObject:
        return _fill_record(hint, given)
    return given


def _fill_union(args: tuple, given: typing.Any) -> typing.Any:
    for branch in args:
        if branch is type(None):
            continue
        filled = _fill(branch, given)
        if not check_value(filled, branch):
            return filled
    return None if type(None) in args else given


def _fill_record(cls: typing.Any, given: dict[str, typing.Any]) -> dict[str, typing.Any]:
    fields, made = fields_of(cls), _blank(cls)
    for key, value in given.items():
        if key in fields:
            filled = _fill(fields[key], value)
            if not check_value(filled, fields[key]):
                made[key] = filled
    return typing.cast(dict[str, typing.Any], made)


def merge_metadata(target: dict[str, typing.Any], given: typing.Any) -> None:
    """Stripe's rule: keys are merged, an empty value removes its key, "" removes them all."""
    if given is None:
        return
    if given == "":
        target["metadata"] = {}
        return
    merged = {**(target.get("metadata") or {}), **given}
    target["metadata"] = {key: value for key, value in merged.items() if value != ""}


def copy(value: typing.Any) -> typing.Any:
    """A deep copy of plain JSON data (four times faster than copy.deepcopy)."""
    return json.loads(json.dumps(value))
