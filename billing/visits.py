"""How customers come to their own pages: a one-time link begins a visit of an hour."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.urls import reverse

from billing.models import DashboardLink
from keystore import audit
from keystore.endusers import Ticket
from keystore.errors import InvalidToken
from keystore.models import Consumer

LINK_LASTS = timedelta(minutes=10)
VISIT_LASTS = timedelta(minutes=60)
KEPT_FOR = timedelta(days=1)  # after its end, a link is only ballast


@dataclass(frozen=True)
class MadeLink:
    """`url` holds the token, which is kept nowhere."""

    url: str
    expires_at: datetime


@transaction.atomic
def make_link(*, consumer: Consumer, return_url: str, actor: str, at: datetime) -> MadeLink:
    """A link to the consumer's own pages, good for ten minutes and one browser."""
    token = secrets.token_urlsafe(32)
    DashboardLink.objects.filter(consumer=consumer, expires_at__lt=at - KEPT_FOR).delete()
    link = DashboardLink.objects.create(
        consumer=consumer,
        digest=_digest(token),
        return_url=return_url,
        expires_at=at + LINK_LASTS,
        created_at=at,
    )
    _record(link, "dashboard.link", actor, at)
    address = f"{settings.PUBLIC_URL}{reverse('dashboard-open')}"
    return MadeLink(f"{address}?{urlencode({'token': token})}", link.expires_at)


def can_open(*, token: str, at: datetime) -> bool:
    """Whether the link would open. Uses nothing up: programs that preview links come, too."""
    return DashboardLink.objects.filter(
        digest=_digest(token), opened_at=None, expires_at__gt=at
    ).exists()


@transaction.atomic
def open_link(*, token: str, browser: str, at: datetime) -> DashboardLink | None:
    """Begin the visit. None: there is no such link, it is too old, or another browser used it.

    `browser` is a secret that only the buyer's browser has, so that its double click is one.
    """
    rows = DashboardLink.objects.filter(digest=_digest(token), expires_at__gt=at)
    first = rows.filter(opened_at=None).update(opened_at=at, opened_by=_digest(browser))
    if not first and not browser:
        return None  # nothing says that it is the same one
    found = rows.filter(opened_by=_digest(browser), ended_at=None).select_related("consumer")
    link = found.first()
    if link is not None and first:
        _record(link, "dashboard.open", f"user:{link.consumer.public_id}", at)
    return link


@transaction.atomic
def open_by_ticket(*, ticket: Ticket, consumer: Consumer, at: datetime) -> DashboardLink | None:
    """Begin a visit by a token that its issuer signed a moment ago. None: it began one before,
    which may still last. Raises InvalidToken for one that lay about.
    """
    if at - ticket.issued_at > LINK_LASTS or ticket.expires_at <= at:
        raise InvalidToken("Send a fresh token: this one was signed too long ago.")
    DashboardLink.objects.filter(consumer=consumer, expires_at__lt=at - KEPT_FOR).delete()
    columns = {
        **{"consumer": consumer, "expires_at": at + LINK_LASTS, "opened_at": at, "created_at": at},
        **{"issuer": ticket.issuer, "until": ticket.expires_at},
    }
    visit, made = DashboardLink.objects.get_or_create(digest=ticket.digest, defaults=columns)
    if not made:
        return None
    _record(visit, "dashboard.open", f"user:{consumer.public_id}", at)
    return visit


def find_visit(*, visit_id: str, at: datetime) -> DashboardLink | None:
    """The visit if it still lasts: not left, not an hour old, its customer not signed out, and
    the token that began it neither at its end nor of an issuer that is trusted no more.
    """
    running = Q(opened_at__gt=at - VISIT_LASTS, opened_at__lte=at, ended_at=None)
    by_token = Q(until__gt=at, issuer__disabled_at=None) & (
        Q(issuer__tokens_since=None) | Q(issuer__tokens_since__lt=F("created_at"))
    )
    rows = DashboardLink.objects.select_related("consumer__project").filter(running)
    rows = rows.filter(Q(issuer=None) | by_token)
    visit = rows.filter(public_id=visit_id).first()
    if visit is None or visit.consumer.erased_at or visit.consumer.merged_into_id:
        return None
    signed_out = visit.consumer.tokens_since
    return None if signed_out is not None and visit.created_at <= signed_out else visit


def end_visit(*, visit: DashboardLink, at: datetime) -> None:
    DashboardLink.objects.filter(pk=visit.pk, ended_at=None).update(ended_at=at)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _record(link: DashboardLink, act: str, actor: str, at: datetime) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=link,
        project=link.consumer.project,
        consumer=link.consumer,
        at=at,
    )
