"""Which buttons the rows of the consumer page carry.

Each button opens an action of `ConsumerAdmin` with `?row=` the row's id. Its dialog finds the row
chosen in the field that offers it (see `ConsumerDialog`). To add one, add a line here and the
action there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from billing.admin.consumer.tables import Act
from entitlements.models import Grant
from keystore.models import ApiKey, Consumer


@dataclass(frozen=True)
class RowAct:
    """`action` names the method of ConsumerAdmin, `offered` says for which rows it makes sense."""

    label: str
    action: str
    permission: str
    offered: Callable[[Any, datetime], bool]
    danger: bool = False


def _is_not_revoked(key: ApiKey, at: datetime) -> bool:
    return key.revoked_at is None


def _was_given_by_people(grant: Grant, at: datetime) -> bool:
    ended = grant.revoked_at is not None or (grant.valid_to is not None and grant.valid_to <= at)
    return not ended and grant.source_ref == grant.public_id


SUBSCRIPTION_ACTS: tuple[RowAct, ...] = ()
PAYMENT_METHOD_ACTS: tuple[RowAct, ...] = ()
KEY_ACTS: tuple[RowAct, ...] = (
    RowAct("Revoke", "end_key", "keystore.revoke_apikey", _is_not_revoked, danger=True),
)
GRANT_ACTS: tuple[RowAct, ...] = (
    RowAct("Revoke", "end_grant", "entitlements.revoke_grant", _was_given_by_people, danger=True),
)
FEATURE_ACTS: tuple[RowAct, ...] = (
    RowAct(
        "Take away",
        "take_feature",
        "entitlements.revoke_grant",
        lambda said, at: said.entitlement is not None and said.entitlement.reason != "denied",
        danger=True,
    ),
)


def offered(
    acts: Iterable[RowAct], row: Any, row_id: str, *, consumer: Consumer, user: Any, at: datetime
) -> list[Act]:
    """The buttons of one row that the user may press."""
    return [
        Act(act.label, action_url(act.action, consumer, row=row_id), danger=act.danger)
        for act in acts
        if user.has_perm(act.permission) and act.offered(row, at)
    ]


def action_url(action: str, consumer: Consumer, *, row: str = "") -> str:
    """Where an action of the page is; `row` is chosen in its dialog beforehand."""
    url = reverse(f"admin:keystore_consumer_{action}", args=[consumer.pk])
    return f"{url}?{urlencode({'row': row})}" if row else url
