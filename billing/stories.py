"""What happened, told as stories: a cause and what it led to. Pure: no database, no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

# The kinds of items, and how early each stands in a chain of cause and effect.
STAGES = {"stripe": 0, "staff": 1, "call": 2, "money": 3, "access": 4, "key": 5, "hook": 6}
NOTE = "note"
KINDS = (*STAGES, NOTE)


@dataclass(frozen=True)
class Item:
    """One thing that happened. Items that share one of `joins` belong to one story."""

    place: tuple[str, int]  # table and row: the same thing is told once
    at: datetime
    kind: str
    text: str
    joins: frozenset[str] = frozenset()
    by: str = ""
    why: str = ""
    url: str = ""
    alarming: bool = False

    @property
    def order(self) -> tuple[datetime, int, int]:
        return self.at, STAGES.get(self.kind, len(STAGES)), self.place[1]


@dataclass(frozen=True)
class Story:
    """A cause and its effects, earliest first."""

    items: tuple[Item, ...]

    @property
    def cause(self) -> Item:
        return self.items[0]

    @property
    def effects(self) -> tuple[Item, ...]:
        return self.items[1:]

    @property
    def newest(self) -> datetime:
        return max(item.at for item in self.items)

    def told_on_page(self, kind: str, *, before: datetime) -> bool:
        """Whether a page that looks for `kind` ("": any) and begins at `before` is its page."""
        instants = [item.at for item in self.items if not kind or item.kind == kind]
        return bool(instants) and max(instants) < before

    @property
    def alarming(self) -> bool:
        return any(item.alarming for item in self.items)


def stories_of(items: Iterable[Item]) -> list[Story]:
    """Put together what belongs together, the story that went on last first."""
    by_place = {item.place: item for item in items}
    heads: dict[str, str] = {}
    for item in by_place.values():
        _unite(heads, [_own(item), *sorted(item.joins)])
    groups: dict[str, list[Item]] = {}
    for item in by_place.values():
        groups.setdefault(_head(heads, _own(item)), []).append(item)
    stories = [
        Story(tuple(sorted(group, key=lambda item: item.order))) for group in groups.values()
    ]
    return sorted(stories, key=lambda story: (story.newest, story.cause.place), reverse=True)


def joins_of(items: Iterable[Item]) -> frozenset[str]:
    return frozenset().union(*(item.joins for item in items))


def page_of(
    batches: Sequence[tuple[Sequence[Item], bool]], limit: int
) -> tuple[list[Item], datetime | None]:
    """The newest items that are surely complete, of at most `limit` stories.

    Each batch is what one source has, newest first, and whether it has more than that: older items
    of another source would then be told without theirs. The instant is where the next page goes
    on; None: there is nothing older.
    """
    horizon = max((batch[-1].at for batch, more in batches if more and batch), default=None)
    found = sorted((item for batch, _ in batches for item in batch), key=lambda item: item.order)
    found.reverse()
    whole = [item for item in found if horizon is None or item.at > horizon] or found
    kept = _of_first_stories(whole, limit)
    is_last = horizon is None and len(kept) == len(whole)
    return kept, None if is_last or not kept else kept[-1].at


def _of_first_stories(items: list[Item], limit: int) -> list[Item]:
    """Items until one more story would begin; those of one instant stay together."""
    kept: list[Item] = []
    seen: set[str] = set()
    stories = 0
    for item in items:
        names = item.joins or {_own(item)}
        begins = not (names & seen)
        if begins and stories >= limit and item.at != kept[-1].at:
            break
        stories += begins
        seen |= names
        kept.append(item)
    return kept


def _own(item: Item) -> str:
    return f"{item.place[0]}:{item.place[1]}"


def _head(heads: dict[str, str], name: str) -> str:
    while heads.setdefault(name, name) != name:
        name = heads[name]
    return name


def _unite(heads: dict[str, str], names: list[str]) -> None:
    first = _head(heads, names[0])
    for name in names[1:]:
        heads[_head(heads, name)] = first
