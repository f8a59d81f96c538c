"""What Stripe was told of the consumer's usage."""

from datetime import datetime
from typing import Any

from billing.admin.consumer.tables import Section, day, label, link, newest
from billing.admin.usage import REPORT_COLOURS
from billing.models import UsageReport
from keystore.models import Consumer


def reports(consumer: Consumer, user: Any, at: datetime) -> Section | None:
    """Nothing for a consumer whose usage is not billed."""
    rows = UsageReport.objects.filter(consumer=consumer).select_related("meter")
    if not rows.exists():
        return None
    table = newest(
        consumer=consumer,
        rows=rows.order_by("-pk"),
        headers=["Report", "Meter", "Hour (UTC)", "Units", "State", "Settled"],
        cells=lambda row: [
            link(row),
            str(row.meter),
            f"{row.bucket:%Y-%m-%d %H:00}",
            f"{row.quantity:,}",
            _state(row),
            day(row.settled_at),
        ],
    )
    return Section("usage-reports", "Usage told to Stripe", table)


def _state(row: UsageReport) -> Any:
    word = "differs" if row.difference else row.state
    return label(word, REPORT_COLOURS.get(word, ""))
