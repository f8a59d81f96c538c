"""Who did what: the entry is written in the transaction of the act itself."""

import json
from datetime import datetime

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.timezone import now

from keystore.correlation import current_request_id
from keystore.models import AuditEntry, Consumer, Project

MAX_REQUEST_ID = 64


def record(
    *,
    actor: str,
    act: str,
    target: models.Model,
    project: Project | None = None,
    consumer: Consumer | None = None,
    before: object = None,
    after: object = None,
    reason: str = "",
    at: datetime | None = None,
) -> AuditEntry:
    """Write down that `actor` did `act` to `target`; `before`/`after` hold what changed.

    Without `project` the entry belongs to the target's own project, if it has one. `at` is the
    instant from which the change counts; without it, now.
    """
    return AuditEntry.objects.create(
        project_id=project.pk if project else getattr(target, "project_id", None),
        actor=actor,
        act=act,
        object_kind=target._meta.model_name or "",
        object_id=str(getattr(target, "public_id", target.pk)),
        consumer_id=consumer.public_id if consumer else "",
        before=_as_json(before),
        after=_as_json(after),
        reason=reason,
        request_id=current_request_id()[:MAX_REQUEST_ID],
        created_at=at or now(),
    )


def _as_json(value: object) -> object:
    """Instants, decimals and the like as the text that the API would show."""
    return None if value is None else json.loads(json.dumps(value, cls=DjangoJSONEncoder))
