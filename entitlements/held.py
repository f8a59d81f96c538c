"""A key with everything that is decided about it, its consumer's answer included, at one look.

What comes back are the models themselves, so that whoever decides need not know where they came
from. They are for reading, by several threads at once.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Model

from entitlements.models import Answer
from entitlements.ready import name_of
from keystore import lifetime
from keystore.lines import Lines
from keystore.models import Api, ApiKey, App, Consumer, Project
from keystore.rowmodels import columns_of, instance_of, width_of

NAME = b"held_key"
ALIASES: dict[type[Model], str] = {
    ApiKey: "key",
    Project: "project",
    App: "app",
    Consumer: "consumer",
    Api: "api",
    Answer: "answer",
}
JOINS = """
FROM keystore_apikey AS key
JOIN keystore_project AS project ON project.id = key.project_id
LEFT JOIN keystore_app AS app ON app.id = key.app_id
LEFT JOIN keystore_consumer AS consumer ON consumer.id = key.consumer_id
LEFT JOIN keystore_api AS api ON api.id = key.api_id
LEFT JOIN entitlements_answer AS answer ON answer.consumer_id = consumer.id
WHERE key.digest = $1
"""
ANSWER = "held_answer"  # not Django's own name: whatever changes the row must be seen
SIZE = 9_000  # bytes, of the objects, the texts in them, and an answer


Found = dict[type[Model], Model | None]


@dataclass(frozen=True, slots=True)
class HeldKey:
    """Good for decisions until its consumer's answer runs out."""

    key: ApiKey
    changes_at: datetime | None
    is_complete: bool  # everything that a decision may need is here
    tags: tuple[str, ...]
    size: int
    cleared: dict[Any, Any] = field(default_factory=dict)  # for those who ask the same again

    def holds_at(self, at: datetime) -> bool:
        return self.is_complete and not lifetime.has_ended(self.changes_at, at)


def find_held(*, lines: Lines, digest: str) -> HeldKey | None:
    """The key with this digest, whatever its state. Raises LineDown."""
    rows = lines.rows(NAME, _query(), (digest,))
    if len(rows) != 1:
        return None
    found: Found = {}
    start = 0
    for model in ALIASES:
        end = start + width_of(model)
        found[model] = instance_of(model, rows[0][start:end])
        start = end
    return _joined(found)


def _joined(found: Found) -> HeldKey | None:
    key, consumer, answer = found[ApiKey], found[Consumer], found[Answer]
    if not isinstance(key, ApiKey):
        return None
    for name, model in (("project", Project), ("app", App), ("consumer", Consumer), ("api", Api)):
        key._state.fields_cache[name] = found[model]
    tags = [f"k{key.pk}", f"p{key.project_id}", f"a{key.app_id}", f"i{key.api_id}"]
    size = SIZE + 4 * len(str(key.metadata))
    changes_at = None
    if isinstance(consumer, Consumer):
        consumer._state.fields_cache["project"] = found[Project]
        tags.append(name_of(consumer.project_id, consumer.external_id))
    if isinstance(consumer, Consumer) and isinstance(answer, Answer):
        consumer._state.fields_cache[ANSWER] = answer
        changes_at = answer.changes_at
        size += len(answer.body)
    complete = consumer is None or answer is not None
    return HeldKey(key, changes_at, complete, tuple(tags), size)


def _query() -> bytes:
    """Made at first use: the models are not there yet when this file is read."""
    with _making:
        if not _made:
            columns = (columns_of(model, alias) for model, alias in ALIASES.items())
            _made.append(f"SELECT {', '.join(columns)} {JOINS}".encode())
    return _made[0]


_making = threading.Lock()
_made: list[bytes] = []
