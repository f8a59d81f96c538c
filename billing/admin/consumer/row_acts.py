"""Which buttons the rows of the consumer page carry.

A button opens an action of `ConsumerAdmin` with `?row=` the row's id, whose dialog finds the row
chosen in the field that offers it (see `ConsumerDialog`); or, where `page` says so, an action of
the row's own page. To add one, add a line here and the action there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from billing import access
from billing.admin.consumer.tables import Act
from billing.admin.invoice_acts import OFFERED
from billing.models import Invoice, Subscription
from entitlements.models import Grant
from keystore.models import ApiKey, Consumer, DisabledBecause

Offered = Callable[[Any, datetime], bool]


@dataclass(frozen=True)
class RowAct:
    """`action` names the method of ConsumerAdmin, `offered` says for which rows it makes sense."""

    label: str
    action: str
    permission: str
    offered: Offered
    danger: bool = False
    page: str = ""  # "billing_subscription": the act is one of that page; "": of the consumer's


def _is_not_revoked(key: ApiKey, at: datetime) -> bool:
    return key.revoked_at is None


def _was_given_by_people(grant: Grant, at: datetime) -> bool:
    ended = grant.revoked_at is not None or (grant.valid_to is not None and grant.valid_to <= at)
    return not ended and grant.source_ref == grant.public_id


def _may_change_plan(row: Subscription, at: datetime) -> bool:
    return row.status in access.PAYING and not row.paused


def _renews(row: Subscription, at: datetime) -> bool:
    return row.status not in access.ENDED and row.cancel_at is None


def _will_end(row: Subscription, at: datetime) -> bool:
    return row.status not in access.ENDED and row.cancel_at is not None


def _may_pause(row: Subscription, at: datetime) -> bool:
    return row.status in access.PAYING and not row.paused


def _is_paused(row: Subscription, at: datetime) -> bool:
    return row.status == "paused" or (row.paused and row.status not in access.ENDED)


def _has_not_ended(row: Subscription, at: datetime) -> bool:
    return row.status not in access.ENDED


def _of_subscription(label: str, action: str, offered: Offered, *, danger: bool = False) -> RowAct:
    change = "billing.change_plan_subscription"
    return RowAct(label, action, change, offered, danger=danger, page="billing_subscription")


def _of_key(label: str, action: str, permission: str, offered: Offered) -> RowAct:
    return RowAct(label, action, permission, offered, page="keystore_apikey")


def _may_rotate(key: ApiKey, at: datetime) -> bool:
    return not (key.revoked_at or key.replaced_at or key.has_expired(at))


def _is_on(key: ApiKey, at: datetime) -> bool:
    return key.revoked_at is None and key.disabled_at is None and not key.has_expired(at)


def _was_switched_off(key: ApiKey, at: datetime) -> bool:
    return key.revoked_at is None and key.disabled_because == DisabledBecause.STAFF


SUBSCRIPTION_ACTS: tuple[RowAct, ...] = (
    _of_subscription("Change plan", "change_plan", _may_change_plan),
    _of_subscription("Resume", "resume", _is_paused),
    _of_subscription("Pause", "pause", _may_pause),
    _of_subscription("Keep", "uncancel", _will_end),
    _of_subscription("Cancel at period end", "cancel_later", _renews),
    _of_subscription("Cancel now", "cancel_now", _has_not_ended, danger=True),
)


def _of_invoice(label: str, action: str, permission: str, *, danger: bool = False) -> RowAct:
    def fits(row: Invoice, at: datetime) -> bool:
        return row.status in OFFERED[action]

    return RowAct(label, action, permission, fits, danger=danger, page="billing_invoice")


CLOSE = "billing.close_invoice"
INVOICE_ACTS: tuple[RowAct, ...] = (
    _of_invoice("Collect", "collect", "billing.collect_invoice"),
    _of_invoice("Paid elsewhere", "paid_elsewhere", CLOSE),
    _of_invoice("Give up", "give_up", CLOSE),
    _of_invoice("Void", "void", CLOSE, danger=True),
)
KEY_ACTS: tuple[RowAct, ...] = (
    _of_key("Rotate", "rotate", "keystore.rotate_apikey", _may_rotate),
    _of_key("Switch off", "disable", "keystore.disable_apikey", _is_on),
    _of_key("Switch on", "enable", "keystore.disable_apikey", _was_switched_off),
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
        Act(act.label, _url(act, row, row_id, consumer), danger=act.danger)
        for act in acts
        if user.has_perm(act.permission) and act.offered(row, at)
    ]


def _url(act: RowAct, row: Any, row_id: str, consumer: Consumer) -> str:
    if act.page:
        return reverse(f"admin:{act.page}_{act.action}", args=[row.pk])
    return action_url(act.action, consumer, row=row_id)


def action_url(action: str, consumer: Consumer, *, row: str = "") -> str:
    """Where an action of the page is; `row` is chosen in its dialog beforehand."""
    url = reverse(f"admin:keystore_consumer_{action}", args=[consumer.pk])
    return f"{url}?{urlencode({'row': row})}" if row else url
