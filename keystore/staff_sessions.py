"""How long a login of staff lasts, and when they last proved who they are."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.http import HttpRequest

SINCE, SEEN, PROVED = "staff_since", "staff_seen", "staff_proved"
NOTE_EVERY = timedelta(minutes=1)  # no write per click


def begin(request: HttpRequest, *, at: datetime) -> None:
    """Somebody has just logged in: their password is as good as a step-up."""
    for name in (SINCE, SEEN, PROVED):
        request.session[name] = at.timestamp()


def is_over(session: SessionBase, *, at: datetime) -> bool:
    """Whether nobody used the session for too long, or it is simply too old."""
    idle, longest = (
        timedelta(minutes=settings.STAFF_IDLE_MINUTES),
        timedelta(hours=settings.STAFF_SESSION_HOURS),
    )
    since, seen = _instant(session, SINCE), _instant(session, SEEN)
    if since is None or seen is None:
        return True
    return at - since >= longest or at - seen >= idle


def note_use(session: SessionBase, *, at: datetime) -> None:
    seen = _instant(session, SEEN)
    if seen is None or at - seen >= NOTE_EVERY:
        session[SEEN] = at.timestamp()


def note_proof(session: SessionBase, *, at: datetime) -> None:
    """The person at the keyboard has just given their password or a code."""
    session[PROVED] = at.timestamp()


def has_just_proved(session: SessionBase, *, at: datetime) -> bool:
    proved = _instant(session, PROVED)
    return proved is not None and at - proved < timedelta(minutes=settings.STEP_UP_MINUTES)


def end_sessions(*, user: User) -> int:
    """Log the user out everywhere. How many sessions ended."""
    ended = 0
    for session in Session.objects.iterator():
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            session.delete()
            ended += 1
    return ended


def _instant(session: SessionBase, name: str) -> datetime | None:
    value: Any = session.get(name)
    return datetime.fromtimestamp(value, UTC) if isinstance(value, float) else None
