"""Keys of another system, of which only the SHA-256 is known: read, previewed, taken over.

What is stored is that digest under our pepper; the first use of a key makes it one of ours.
"""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime

from config.errors import DomainError, InvalidInput
from keystore import tokens
from keystore.addresses import normal_networks
from keystore.errors import KeyTaken
from keystore.keyrows import in_future, record, tell_of_key
from keystore.models import ApiKey, Consumer, Environment, Project
from keystore.selectors import consumer_of
from keystore.services import register_consumer

MOST_KEYS = 10_000
MOST_BYTES = 10_000_000
COLUMNS = (
    *("user_id", "sha256", "prefix", "last4", "name", "environment"),
    *("scopes", "limit_per_minute", "allowed_cidrs", "expires_at"),
)
SHA256 = re.compile(r"[0-9a-f]{64}")
SHOWN = re.compile(r"[\x21-\x7e]*")
SCOPE = re.compile(r"[\x21-\x7e]{1,50}")
LARGEST_LIMIT = 1_000_000_000


class UnreadableKeys(InvalidInput):
    """Nothing can be made of the file as a whole."""

    code = "unreadable_file"


@dataclass(frozen=True, slots=True)
class Wish:
    """One key that is to be taken over. `prefix` and `last4` are what people see of it."""

    user_id: str
    sha256: str
    prefix: str = ""
    last4: str = ""
    name: str = ""
    environment: str = Environment.LIVE
    scopes: tuple[str, ...] = ()
    limit_per_minute: int | None = None
    allowed_cidrs: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of line `number`: imported, known or refused; of a preview what would."""

    number: int
    status: str
    detail: str = ""
    key: ApiKey | None = field(default=None, compare=False)


def import_keys(
    *,
    project: Project,
    lines: Iterable[Mapping[str, Any]],
    actor: str,
    at: datetime,
    only_preview: bool = False,
) -> list[Outcome]:
    """Take over each key that can be; every line is a transaction of its own and stands alone.

    The same list again finds its keys, also those that were used since, and changes nothing.
    """
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            wish = wish_of(line, at)
            if only_preview:
                found.append(_preview(number, project, wish))
            else:
                found.append(_taken(number, project, wish, actor, at))
        except DomainError as refusal:
            found.append(Outcome(number, "refused", refusal.message))
    return found


@transaction.atomic
def import_hashed_key(
    *, project: Project, wish: Wish, actor: str, at: datetime
) -> tuple[ApiKey, bool]:
    """The key, and whether it is new. Raises KeyTaken when somebody else holds it."""
    owner = register_consumer(project=project, external_id=wish.user_id, actor=actor)
    known = known_import(wish.sha256)
    if known is not None:
        _refuse_others(known, owner)
        return known, False
    digest = tokens.imported_digests(wish.sha256)[0]
    key, is_new = ApiKey.objects.get_or_create(
        imported_as=digest,
        defaults={
            "project": project,
            "consumer": owner,
            "digest": digest,
            "has_foreign_digest": True,
            "prefix": wish.prefix,
            "last4": wish.last4,
            "name": wish.name,
            "environment": wish.environment,
            "scopes": list(wish.scopes),
            "own_limit_per_minute": wish.limit_per_minute,
            "allowed_cidrs": list(wish.allowed_cidrs),
            "expires_at": wish.expires_at,
            "created_at": at,
        },
    )
    _refuse_others(key, owner)
    if is_new:
        record("key.import", key, actor=actor, after={"scopes": key.scopes})
        tell_of_key("key.created", key, at=at)
    return key, is_new


def known_import(sha256: str) -> ApiKey | None:
    """The key that came with this digest, in whatever project, used since or not."""
    digests = tokens.imported_digests(sha256)
    return ApiKey.objects.filter(imported_as__in=digests).select_related("consumer").first()


def read_file(data: bytes) -> list[dict[str, Any]]:
    """The lines of a CSV with a heading, or of a JSON list. Raises UnreadableKeys."""
    if len(data) > MOST_BYTES:
        raise UnreadableKeys(f"The file is larger than {MOST_BYTES // 1_000_000} MB: divide it.")
    try:
        text = data.decode("utf-8-sig")
        lines = _json_lines(text) if text.lstrip()[:1] in ("[", "{") else _csv_lines(text)
    except (UnicodeDecodeError, csv.Error, ValueError, RecursionError) as problem:
        raise UnreadableKeys(f"The file cannot be read: {problem}.") from problem
    if len(lines) > MOST_KEYS:
        raise UnreadableKeys(f"{len(lines):,} keys: at most {MOST_KEYS:,} at once, divide it.")
    return lines


def wish_of(line: object, at: datetime) -> Wish:
    """The line, checked. Raises InvalidInput that says what is wrong with it."""
    if not isinstance(line, Mapping):
        raise InvalidInput("A key is an object with user_id and sha256.")
    unknown = [str(name) for name in line if name not in COLUMNS]
    if unknown:
        raise InvalidInput(f"{', '.join(unknown[:5])} is not known. Use {', '.join(COLUMNS)}.")
    environment = _text(line, "environment", 4) or Environment.LIVE
    if environment not in Environment.values:
        raise InvalidInput(f"environment must be {' or '.join(Environment.values)}.")
    sha256 = _text(line, "sha256", 64).lower()
    if not SHA256.fullmatch(sha256):
        raise InvalidInput("sha256 must be the SHA-256 of the key in 64 hexadecimal digits.")
    user_id = _text(line, "user_id", 255)
    if not user_id:
        raise InvalidInput("user_id is missing.")
    return Wish(
        user_id=user_id,
        sha256=sha256,
        prefix=_visible(line, "prefix", 12),
        last4=_visible(line, "last4", 4),
        name=_text(line, "name", 100),
        environment=environment,
        scopes=_scopes(line),
        limit_per_minute=_limit(line),
        allowed_cidrs=tuple(normal_networks(_words(line, "allowed_cidrs"))),
        expires_at=in_future(_instant(line), at),
    )


def _preview(number: int, project: Project, wish: Wish) -> Outcome:
    owner = consumer_of(project=project, user_id=wish.user_id)
    known = known_import(wish.sha256)
    if known is not None:
        _refuse_others(known, owner)
        return Outcome(number, "known", key=known)
    return Outcome(number, "imported", "" if owner else "The user will be registered.")


def _taken(number: int, project: Project, wish: Wish, actor: str, at: datetime) -> Outcome:
    key, is_new = import_hashed_key(project=project, wish=wish, actor=actor, at=at)
    return Outcome(number, "imported" if is_new else "known", key=key)


def _refuse_others(key: ApiKey, owner: Consumer | None) -> None:
    if owner is None or key.consumer_id != owner.pk:
        raise KeyTaken("This key belongs to somebody else.")


def _csv_lines(text: str) -> list[dict[str, Any]]:
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = [name.strip().lower() for name in reader.fieldnames or []]
    if not {"user_id", "sha256"} <= set(names):
        raise ValueError("the first line must name the columns user_id and sha256")
    reader.fieldnames = names
    lines = [{name: cell for name, cell in row.items() if cell} for row in reader]
    return [line for line in lines if line]


def _json_lines(text: str) -> list[Any]:
    value = json.loads(text)
    lines = value.get("keys") if isinstance(value, dict) else value
    if not isinstance(lines, list):
        raise ValueError('it must be a list, or {"keys": [...]}')
    return lines


def _text(line: Mapping[str, Any], name: str, longest: int) -> str:
    value = line.get(name, "")
    text = "" if value is None else value
    if not isinstance(text, str) or len(text.strip()) > longest or "\x00" in text:
        raise InvalidInput(f"{name} must be text of at most {longest} characters.")
    return text.strip()


def _visible(line: Mapping[str, Any], name: str, longest: int) -> str:
    text = _text(line, name, longest)
    if not SHOWN.fullmatch(text):
        raise InvalidInput(f"{name} must be visible ASCII characters.")
    return text


def _words(line: Mapping[str, Any], name: str) -> Sequence[str]:
    value = line.get(name) or ()
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or len(words) > 50:
        raise InvalidInput(f"{name} must be a list of at most 50.")
    if not all(isinstance(word, str) for word in words):
        raise InvalidInput(f"{name} must be a list of texts.")
    return list(words)


def _scopes(line: Mapping[str, Any]) -> tuple[str, ...]:
    scopes = _words(line, "scopes")
    if not all(SCOPE.fullmatch(scope) for scope in scopes):
        raise InvalidInput("A scope has 1 to 50 visible ASCII characters.")
    return tuple(scopes)


def _limit(line: Mapping[str, Any]) -> int | None:
    value = line.get("limit_per_minute")
    if value in (None, ""):
        return None
    text = str(value)
    whole = not isinstance(value, bool) and text.isascii() and text.isdigit() and len(text) < 11
    if not whole or int(text) > LARGEST_LIMIT:
        raise InvalidInput("limit_per_minute must be a whole number, or empty for none.")
    return int(text)


def _instant(line: Mapping[str, Any]) -> datetime | None:
    text = _text(line, "expires_at", 40)
    if not text:
        return None
    try:
        found = parse_datetime(text)
        if found is not None:
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput("expires_at must be an instant such as 2027-01-31T12:00:00Z.")
