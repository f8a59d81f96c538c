"""The timeline and the notes, as sections of the consumer page."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from billing.admin.consumer.asked import Asked
from billing.admin.consumer.row_acts import action_url
from billing.admin.consumer.tables import Act, Section, text_of
from billing.stories import KINDS, Item
from billing.timeline import timeline_of
from keystore.models import Consumer, ConsumerNote

SHOWN = "%Y-%m-%d %H:%M:%S"
TITLES = {
    "stripe": "Stripe",
    "staff": "Staff",
    "call": "Calls",
    "money": "Money",
    "access": "Access",
    "key": "Keys",
    "hook": "Hooks",
    "note": "Notes",
}


@dataclass(frozen=True)
class Line:
    """One item of the timeline as the page shows it."""

    at: str
    kind: str
    text: str
    by: str
    why: str
    url: str
    alarming: bool


def timeline(consumer: Consumer, user: Any, at: datetime, asked: Asked) -> Section:
    found = timeline_of(consumer=consumer, user=user, at=asked.before or at, kind=asked.kind)
    stories = [
        {
            "cause": _line(story.cause),
            "effects": [_line(item) for item in story.effects],
            "kinds": ", ".join(sorted({TITLES[item.kind].lower() for item in story.effects})),
            "alarming": story.alarming,
        }
        for story in found.stories
    ]
    extra = {
        "stories": stories,
        "kinds": [_choice("", "Everything", asked)]
        + [_choice(kind, TITLES[kind], asked) for kind in KINDS],
        "older": _address(asked.kind, found.older) if found.older else "",
        "newest": _address(asked.kind, None) if asked.before else "",
    }
    return Section("timeline", "Timeline", template="admin/consumer/timeline.html", extra=extra)


def _choice(kind: str, title: str, asked: Asked) -> dict[str, Any]:
    return {"title": title, "url": _address(kind, None), "chosen": asked.kind == kind}


def _address(kind: str, before: datetime | None) -> str:
    asked = {"kind": kind, "before": before.isoformat() if before else ""}
    return f"?{urlencode({name: value for name, value in asked.items() if value})}#timeline"


def _line(item: Item) -> Line:
    return Line(
        at=item.at.astimezone(UTC).strftime(SHOWN),
        kind=TITLES[item.kind],
        text=item.text,
        by=item.by,
        why=item.why,
        url=reverse(item.url, args=[item.place[1]]) if item.url else "",
        alarming=item.alarming,
    )


def notes(consumer: Consumer, user: Any, at: datetime) -> Section:
    rows = ConsumerNote.objects.filter(consumer=consumer, removed_at=None).order_by("-created_at")
    may_write = user.has_perm("keystore.add_consumernote")
    shown = [
        {
            "text": row.text,
            "author": row.author,
            "at": text_of(row.created_at),
            "acts": [
                Act(
                    "Take down",
                    action_url("remove_note", consumer, row=row.public_id),
                    danger=True,
                )
            ]
            if may_write
            else [],
        }
        for row in rows[:100]
    ]
    acts = [Act("Add a note", action_url("add_note", consumer))] if may_write else []
    return Section(
        "notes", "Notes", template="admin/consumer/notes.html", acts=acts, extra={"notes": shown}
    )
