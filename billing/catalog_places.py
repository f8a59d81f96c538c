"""YAML with the place of every value, so that a mistake in a file is found by its line. Pure."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import yaml

from config.errors import InvalidInput

DEEPEST = 20
SMALLER = 2**31 - 1  # what a column of four bytes holds
LARGEST = 2**63 - 1


class CatalogMistake(InvalidInput):
    """The file says something that cannot be sold; the message names line and path."""

    code = "catalog_invalid"


@dataclass(frozen=True)
class Place:
    """A value of the file: `value` is a scalar, a dict of places or a list of places."""

    path: str
    line: int
    value: Any

    def refuse(self, message: str) -> CatalogMistake:
        return CatalogMistake(f"line {self.line}, {self.path or 'the file'}: {message}")

    def mapping(self, known: Collection[str] = ()) -> "Entries":
        """The entries; with `known`, only those names. Nothing at all is an empty mapping."""
        if self.value is None:
            return Entries()
        if not isinstance(self.value, dict):
            raise self.refuse(f"must be a mapping, not {_shown(self.value)}.")
        for name, place in self.value.items():
            if known and name not in known:
                raise place.refuse(f"unknown name. Known here: {', '.join(known)}.")
        return Entries(self.value)

    def items(self) -> list["Place"]:
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.refuse(f"must be a list, not {_shown(self.value)}.")
        return self.value

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refuse(f"must be text, not {_shown(self.value)}; quote it.")
        return self.value

    def whole(self, least: int = 0, most: int = LARGEST) -> int:
        is_number = isinstance(self.value, int) and not isinstance(self.value, bool)
        if not is_number or not least <= self.value <= most:
            raise self.refuse(
                f"must be a whole number from {least} to {most}, not {_shown(self.value)}."
            )
        return int(self.value)

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.refuse(f"must be true or false, not {_shown(self.value)}.")
        return self.value

    def choice(self, allowed: Collection[str]) -> str:
        if self.value not in allowed:
            raise self.refuse(f"must be one of {', '.join(allowed)}, not {_shown(self.value)}.")
        return str(self.value)

    def matching(self, pattern: str, meaning: str) -> str:
        if not re.fullmatch(pattern, self.text()):
            raise self.refuse(f"{self.value!r} is not {meaning}.")
        return self.text()

    def plain(self) -> Any:
        """The value without places, as JSON could hold it."""
        if isinstance(self.value, dict):
            return {name: place.plain() for name, place in self.value.items()}
        if isinstance(self.value, list):
            return [place.plain() for place in self.value]
        return self.value


class Entries(dict[str, Place]):
    """What stands in a mapping, each with what holds when it is left out."""

    def text(self, name: str, default: str = "") -> str:
        return self[name].text() if name in self else default

    def whole(self, name: str, default: int, *, least: int = 0, most: int = SMALLER) -> int:
        return self[name].whole(least, most) if name in self else default

    def flag(self, name: str, default: bool) -> bool:
        return self[name].flag() if name in self else default

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        return self[name].choice(allowed) if name in self else str(default)

    def items_of(self, name: str) -> list[Place]:
        return self[name].items() if name in self else []

    def mapping_of(self, name: str) -> "Entries":
        return self[name].mapping() if name in self else Entries()


def read_places(text: str) -> Place:
    """The whole file. Raises CatalogMistake for what is not YAML or names a key twice."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        return Place("", 1, None) if node is None else _place(node, "", DEEPEST)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise CatalogMistake(f"{where}not YAML: {getattr(problem, 'problem', problem)}.") from None


def _place(node: yaml.Node, path: str, depth: int) -> Place:
    line = node.start_mark.line + 1
    here = Place(path, line, None)
    if depth == 0:
        raise here.refuse("is nested too deeply.")
    if isinstance(node, yaml.MappingNode):
        return Place(path, line, _entries(node, path, depth))
    if isinstance(node, yaml.SequenceNode):
        items = [_place(item, f"{path}[{i}]", depth - 1) for i, item in enumerate(node.value)]
        return Place(path, line, items)
    value = yaml.SafeLoader("").construct_object(node)
    if not isinstance(value, str | int | float | bool | None):
        raise here.refuse(f"must be text or a number, not {value!r}; quote it.")
    return Place(path, line, value)


def _entries(node: yaml.MappingNode, path: str, depth: int) -> dict[str, Place]:
    entries: dict[str, Place] = {}
    for key, item in node.value:
        name = str(key.value)
        place = _place(item, f"{path}.{name}" if path else name, depth - 1)
        place = Place(place.path, key.start_mark.line + 1, place.value)
        if name in entries:
            raise place.refuse("is named twice.")
        entries[name] = place
    return entries


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else repr(value)
