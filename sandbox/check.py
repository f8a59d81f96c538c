"""Does a value have the documented shape, and what would Stripe complain about?"""

import decimal
import functools
import re
import typing
from dataclasses import dataclass
from typing import Literal, NotRequired

from stripe._stripe_object import StripeObject, UntypedStripeObject
from typing_extensions import is_typeddict

from sandbox.schema import UNIONS, fields_of, is_known_type, object_class

NUMBER = re.compile(r"-?\d+(\.\d+)?\Z")
CLEARS_FIELD = ("",)


@dataclass(frozen=True)
class Problem:
    """`kind` is unknown, missing, choice or type; `path` leads to the value at fault."""

    kind: str
    path: tuple[str, ...]
    wanted: str
    value: object = None

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.kind}, {self.wanted} is wanted, not {self.value!r}"


class Checker:
    """Compares values with types; `form` means that leaves are still encoded text."""

    def __init__(self, *, form: bool) -> None:
        self.form = form

    def check(self, value: typing.Any, hint: typing.Any, path: tuple[str, ...]) -> list[Problem]:
        origin, args = _parts(hint)
        if origin is NotRequired:
            return self.check(value, args[0], path)
        if hint is typing.Any or isinstance(hint, typing.TypeVar):
            return []
        if origin in UNIONS:
            return self._union(value, args, path)
        if origin is Literal:
            return self._literal(value, args, path)
        if origin is list:
            return self._list(value, args[0], path)
        cls = origin or hint
        if cls in (dict, UntypedStripeObject):
            return self._map(value, args[-1] if args else typing.Any, path)
        if _is_record(cls):
            return self._fields(value, cls, args, path)
        return self._leaf(value, hint, path)

    def _literal(self, value: object, args: tuple, path: tuple[str, ...]) -> list[Problem]:
        known = [str(a).lower() if self.form and isinstance(a, bool) else a for a in args]
        if value in known:
            return []
        return [Problem("choice", path, ", ".join(map(str, known)), value)]

    def _union(self, value: object, args: tuple, path: tuple[str, ...]) -> list[Problem]:
        if value is None and type(None) in args:
            return []
        return min((self.check(value, branch, path) for branch in _branches(args)), key=len)

    def _list(self, value: object, item: typing.Any, path: tuple[str, ...]) -> list[Problem]:
        if self.form:
            value = listed(value)
        if not isinstance(value, list):
            return [Problem("type", path, "array", value)]
        found: list[Problem] = []
        for index, element in enumerate(value):
            found += self.check(element, item, (*path, str(index)))
        return found

    def _map(self, value: object, item: typing.Any, path: tuple[str, ...]) -> list[Problem]:
        if not isinstance(value, dict):
            return [Problem("type", path, "object", value)]
        return [p for key, v in value.items() for p in self.check(v, item, (*path, key))]

    def _fields(
        self, value: typing.Any, cls: type, args: tuple, path: tuple[str, ...]
    ) -> list[Problem]:
        wanted = None if self.form else vars(cls).get("OBJECT_NAME")
        if not isinstance(value, dict) or wanted not in (None, value.get("object")):
            return [Problem("type", path, wanted or "object", value)]
        fields = fields_of(cls)
        found = [
            Problem("unknown", (*path, key), "nothing", value[key])
            for key in value
            if key not in fields and key != "object"
        ]
        for key, hint in fields.items():
            if key in value:
                if args and key == "data":
                    hint = list[args[0]]  # type: ignore[valid-type]
                found += self.check(value[key], hint, (*path, key))
            elif _is_required(cls, hint) and not value.get("deleted"):
                found.append(Problem("missing", (*path, key), "a value"))
        return found

    def _leaf(self, value: object, hint: typing.Any, path: tuple[str, ...]) -> list[Problem]:
        good = _FORM_LEAVES if self.form else _LEAVES
        if hint not in good or good[hint](value):
            return []
        return [Problem("type", path, hint.__name__, value)]


_FORM_LEAVES: dict[typing.Any, typing.Callable[[typing.Any], bool]] = {
    str: lambda v: isinstance(v, str),
    int: lambda v: isinstance(v, str) and bool(NUMBER.match(v)) and "." not in v,
    float: lambda v: isinstance(v, str) and bool(NUMBER.match(v)),
    decimal.Decimal: lambda v: isinstance(v, str) and bool(NUMBER.match(v)),
    bool: lambda v: v in ("true", "false"),
}
_LEAVES: dict[typing.Any, typing.Callable[[typing.Any], bool]] = {
    str: lambda v: isinstance(v, str),
    int: lambda v: type(v) is int,
    float: lambda v: type(v) in (int, float),
    decimal.Decimal: lambda v: isinstance(v, str) and bool(NUMBER.match(v)),
    bool: lambda v: isinstance(v, bool),
}


@functools.cache
def _parts(hint: typing.Any) -> tuple[typing.Any, tuple]:
    return typing.get_origin(hint), typing.get_args(hint)


@functools.cache
def _branches(args: tuple) -> list[typing.Any]:
    branches = [a for a in args if a is not type(None)]
    # stripe-python writes an open enum as Literal[..] | str: hold values to the known ones.
    enums = [a for a in branches if typing.get_origin(a) is Literal]
    if any(typing.get_args(a) != CLEARS_FIELD for a in enums):
        branches = [a for a in branches if a is not str]
    return branches


@functools.cache
def _is_record(cls: typing.Any) -> bool:
    return is_typeddict(cls) or (isinstance(cls, type) and issubclass(cls, StripeObject))


def _is_required(cls: type, hint: typing.Any) -> bool:
    origin, args = _parts(hint)
    if is_typeddict(cls):
        return origin is not NotRequired
    return not (origin in UNIONS and type(None) in args)


def listed(value: object) -> object:
    """items[0], items[1] in a form arrive as a hash of digits: the list that they mean."""
    if isinstance(value, dict) and value and all(key.isdigit() for key in value):
        return [value[key] for key in sorted(value, key=int)]
    return value


_forms, _values = Checker(form=True), Checker(form=False)


def check_form(tree: dict, hint: typing.Any) -> list[Problem]:
    return _forms.check(tree, hint, ())


def check_value(value: object, hint: typing.Any) -> list[Problem]:
    return _values.check(value, hint, ())


def check_object(value: dict) -> list[Problem]:
    """What differs between this object, or list of objects, and its documented type."""
    kind = value.get("object")
    if kind in ("list", "search_result"):
        return [p for item in value["data"] for p in check_object(item)]
    if not is_known_type(kind):
        return [Problem("type", ("object",), "a known type", kind)]
    return check_value(value, object_class(str(kind)))


def check_event(event: dict) -> list[Problem]:
    return check_object(event) + check_object(event["data"]["object"])


def coerce(value: typing.Any, hint: typing.Any) -> typing.Any:
    """A checked form value as the Python value of its type."""
    origin, args = _parts(hint)
    if origin is NotRequired:
        return coerce(value, args[0])
    if origin in UNIONS:
        for branch in args:
            if branch is not type(None) and not _forms.check(value, branch, ()):
                return coerce(value, branch)
        return value
    if origin is list:
        return [coerce(item, args[0]) for item in typing.cast(list, listed(value))]
    if is_typeddict(hint):
        fields = fields_of(hint)
        return {key: coerce(item, fields[key]) for key, item in value.items()}
    if hint is bool:
        return value == "true"
    return hint(value) if hint in (int, float) else value
