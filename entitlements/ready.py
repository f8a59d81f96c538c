"""The ready answer, found in one statement together with the key that asks for it.

For callers that cannot wait for the ORM. It says nothing about a key that may not ask, nor about
an answer that has run out: then the whole way must be gone.
"""

import struct
from dataclasses import dataclass
from datetime import datetime

import orjson

from keystore import lifetime
from keystore.callers import holds_scope
from keystore.lines import Lines, Row

NAME = b"ready_answer"
# By the app's own id of the user; it wins over ours, which is not looked for here.
QUERY = b"""
SELECT key.id, key.project_id, project.slug, project.public_id,
       key.revoked_at, key.disabled_at, key.expires_at, app.id, app.is_active,
       array_to_json(key.scopes), consumer.id, answer.changes_at, answer.etag, answer.body,
       consumer.merged_into_id
FROM keystore_apikey AS key
JOIN keystore_project AS project ON project.id = key.project_id
LEFT JOIN keystore_app AS app ON app.id = key.app_id
LEFT JOIN keystore_consumer AS consumer
    ON consumer.project_id = key.project_id AND consumer.external_id = $2
LEFT JOIN entitlements_answer AS answer
    ON answer.consumer_id = coalesce(consumer.merged_into_id, consumer.id)
WHERE key.digest = $1
"""
# Of a packed answer: when it ends, in seconds since 1970; where that and the ETag end.
ENDS = struct.Struct("d")
NEVER = float("inf")
END = ENDS.size
ETAG = END + 64
SIZE = 1_000  # bytes, of a caller and the texts in it


@dataclass(frozen=True, slots=True)
class Asker:
    """A key, as far as it matters to whoever asks with it."""

    key_id: int
    project_id: int
    project_names: frozenset[str]
    is_app: bool
    is_on: bool
    expires_at: datetime | None
    scopes: frozenset[str]
    tags: tuple[str, ...]
    size: int = SIZE

    @property
    def pk(self) -> int:
        return self.key_id

    def may_ask(self, wanted: str, at: datetime) -> bool:
        """Whether this is a key of an app that works at `at` and holds the scope."""
        works = self.is_on and not lifetime.has_ended(self.expires_at, at)
        return works and self.is_app and holds_scope(self.scopes, wanted)


@dataclass(frozen=True, slots=True)
class ReadyAnswer:
    """`body` holds until `changes_at`; None: for ever."""

    body: bytes
    etag: str
    changes_at: datetime | None

    def holds_at(self, at: datetime) -> bool:
        return not lifetime.has_ended(self.changes_at, at)

    def packed(self) -> bytes:
        """As one piece of memory: a hundred thousand of them are held."""
        end = NEVER if self.changes_at is None else self.changes_at.timestamp()
        return ENDS.pack(end) + self.etag.encode() + self.body


def unpacked(packed: bytes, at: datetime) -> tuple[bytes, str] | None:
    """Body and ETag of a packed answer; None when it has run out."""
    if at.timestamp() >= ENDS.unpack_from(packed)[0]:
        return None
    return packed[ETAG:], packed[END:ETAG].decode()


@dataclass(frozen=True, slots=True)
class Found:
    """`answer` None: the consumer has none yet; `knows_user`: there is such a consumer.

    `is_merged`: the answer is another consumer's, whose changes are not told under this name.
    """

    asker: Asker
    knows_user: bool
    answer: ReadyAnswer | None
    is_merged: bool


def find(*, lines: Lines, digest: str, user_id: str) -> Found | None:
    """The key with this digest and its answer about a user. None: there is no such key.

    Raises LineDown.
    """
    rows = lines.rows(NAME, QUERY, (digest, user_id))
    if len(rows) != 1:
        return None
    row = rows[0]
    return Found(
        _asker(row),
        knows_user=row[10] is not None,
        answer=_answer(row),
        is_merged=row[14] is not None,
    )


def name_of(project_id: int, user_id: str) -> str:
    """Under which name changes of a consumer's answer are told."""
    return f"c{project_id}/{user_id}"


def _asker(row: Row) -> Asker:
    key_id, project_id, slug, public_id, revoked_at, disabled_at, expires_at, app_id = row[:8]
    app_is_active, scopes = row[8:10]
    return Asker(
        key_id=int(key_id or 0),
        project_id=int(project_id or 0),
        project_names=frozenset(filter(None, (project_id, slug, public_id))),
        is_app=app_id is not None,
        is_on=lifetime.is_on(revoked_at, disabled_at, app_is_active != "f"),
        expires_at=_instant(expires_at),
        scopes=frozenset(orjson.loads(scopes or "[]")),
        tags=(f"k{key_id}", f"p{project_id}", f"a{app_id}"),
    )


def _answer(row: Row) -> ReadyAnswer | None:
    changes_at, etag, body = row[11:14]
    if body is None or etag is None:
        return None
    return ReadyAnswer(body.encode(), etag, _instant(changes_at))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
