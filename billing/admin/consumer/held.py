"""The grants and keys that the consumer holds or held."""

from datetime import datetime
from typing import Any

from billing.admin.consumer import row_acts
from billing.admin.consumer.tables import Act, Section, day, label, link, newest, span
from entitlements.admin import STATE_COLOURS as GRANT_COLOURS
from entitlements.admin import acts_linked
from entitlements.admin import state_of as state_of_grant
from entitlements.models import Grant
from keystore.admin.keys import STATE_COLOURS as KEY_COLOURS
from keystore.admin.keys import state_of as state_of_key
from keystore.models import ApiKey, Consumer


def grants(consumer: Consumer, user: Any, at: datetime) -> Section:
    rows = Grant.objects.filter(consumer=consumer).select_related("plan", "feature")
    table = newest(
        consumer=consumer,
        rows=rows.order_by("-pk"),
        headers=["Grant", "Opens", "State", "Source", "From, until", "Given by", "Reason"],
        cells=lambda row: [
            link(row, row.public_id),
            str(row.plan or row.feature),
            label(state_of_grant(row), GRANT_COLOURS.get(state_of_grant(row), "")),
            row.source if row.source_ref == row.public_id else f"{row.source} {row.source_ref}",
            span(row.valid_from, row.valid_to),
            row.granted_by,
            f"{row.reason} ({row.ticket})" if row.ticket else row.reason,
        ],
        acts=lambda row: [
            *_grant_acts(row, user, at),
            *row_acts.offered(
                row_acts.GRANT_ACTS, row, row.public_id, consumer=consumer, user=user, at=at
            ),
        ],
    )
    return Section("grants", "Grants, live and ended", table, short="Grants")


def _grant_acts(grant: Grant, user: Any, at: datetime) -> list[Act]:
    """What else can be done about the grant now: its own dialogs, which lead back here."""
    return [
        Act(title, f"{url}?from=consumer", dialog=dialog)
        for title, url, dialog in acts_linked(grant, user, at)
        if title != "Revoke"
    ]


def keys(consumer: Consumer, user: Any, at: datetime) -> Section:
    rows = ApiKey.objects.filter(consumer=consumer).select_related("api", "app").defer("digest")
    table = newest(
        consumer=consumer,
        rows=rows.order_by("-pk"),
        headers=["Key", "State", "API", "Limit per minute", "Expires", "Last used"],
        cells=lambda row: [
            link(row),
            label(state_of_key(row), KEY_COLOURS.get(state_of_key(row), "")),
            str(row.api or ""),
            "none" if row.limit_per_minute is None else f"{row.limit_per_minute:,}",
            day(row.expires_at) or "never",
            day(row.last_used_at) or "never",
        ],
        acts=lambda row: row_acts.offered(
            row_acts.KEY_ACTS, row, row.public_id, consumer=consumer, user=user, at=at
        ),
    )
    return Section("keys", "Keys", table)
