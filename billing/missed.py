"""Events that Stripe made and we never received: its own list tells (it keeps 30 days)."""

from datetime import datetime, timedelta

from billing import gateway
from billing.models import InboxEvent
from billing.receipt import keep

LOOK_BACK = timedelta(hours=2)
LONGEST_LOOK_BACK = timedelta(days=30)
SETTLING = timedelta(seconds=30)  # younger ones are probably on their way


def fetch_missed_events(*, at: datetime, since: datetime | None = None) -> int:
    """Take in what Stripe lists since then and we lack; returns how many were new.

    Without `since`: the last two hours. Known events are not counted as delivered again.
    """
    start = max(since or at - LOOK_BACK, at - LONGEST_LOOK_BACK)
    listed = gateway.read_all(
        "/v1/events",
        created={"gte": int(start.timestamp()), "lte": int((at - SETTLING).timestamp())},
    )
    known = set(
        InboxEvent.objects.filter(event_id__in=[event["id"] for event in listed]).values_list(
            "event_id", flat=True
        )
    )
    missing = [event for event in reversed(listed) if event["id"] not in known]
    for event in missing:
        keep(event=event, at=at)
    return len(missing)
