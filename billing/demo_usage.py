"""Some usage of the demo's buyer, as an app would have told it."""

from datetime import datetime, timedelta

from keystore.models import Consumer
from metering.services import record_usage

DAYS = 10
MODELS = ("large", "small")


def use_some(*, consumer: Consumer, at: datetime) -> None:
    """Tokens, calls and tasks of the last days. Each id counts once, however often this runs."""
    for day in range(DAYS):
        then = at - timedelta(days=day, hours=1)
        uses = {"tokens": 12_000 + 3_700 * (day % 4), "api_calls": 140 + 35 * (day % 3)}
        if day % 2:
            uses["scraping_tasks"] = 6 + day
        for meter, quantity in uses.items():
            record_usage(
                consumer=consumer,
                meter=meter,
                quantity=quantity,
                event_id=f"demo-{meter}-{day}",
                source="demo",
                occurred_at=then,
                metadata={"model": MODELS[day % 2]} if meter == "tokens" else {},
                at=at,
            )
