"""One consumer's history from every table that has a part of it, as stories of cause and effect."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.customers import customers_of
from billing.models import Checkout, Payment, Subscription
from billing.stories import Item, Story, joins_of, page_of, stories_of
from billing.timeline_sources import SOURCES, Scope, Source
from entitlements.models import Grant
from keystore.models import ApiKey, Consumer
from keystore.selectors import ids_of

PAGE = 50
ROWS_PER_STORY = 2  # read ahead from each table, so that a page is usually full
ROUNDS = 3  # an effect names its event, the event the call behind it, the call its own effects


@dataclass(frozen=True)
class Timeline:
    """`older` is the instant before which the next page begins; None: this is the end."""

    stories: list[Story]
    older: datetime | None


def timeline_of(
    *,
    consumer: Consumer,
    user: Any,
    at: datetime,
    limit: int = PAGE,
    kind: str = "",
) -> Timeline:
    """The newest stories before `at`, of what the user may see; `kind` narrows to those with an
    item of it. Each is told once, in full, on the page of its newest item.
    """
    scope = _scope_of(consumer)
    sources = [source for source in SOURCES if user.has_perm(source.permission)]
    asked = [source for source in sources if not kind or kind in source.kinds]
    batches = [_batch(source, scope, at, limit, kind) for source in asked]
    seeds, older = page_of(batches, limit)
    whole = _completed(seeds, sources, scope)
    stories = [story for story in stories_of(whole) if story.told_on_page(kind, before=at)]
    return Timeline(stories, older)


def _batch(
    source: Source, scope: Scope, at: datetime, limit: int, kind: str
) -> tuple[list[Item], bool]:
    most = limit * ROWS_PER_STORY
    found = source.newest(scope, at, most, kind)
    return found, len(found) == most


def _completed(seeds: list[Item], sources: list[Source], scope: Scope) -> list[Item]:
    """The seeds and whatever is joined to them, older or newer."""
    items = list(seeds)
    asked: frozenset[str] = frozenset()
    for _ in range(ROUNDS):
        wanted = joins_of(items) - asked
        if not wanted:
            break
        known = [item.place for item in items]
        for source in sources:
            items += source.joined(scope, wanted, known)
        asked |= wanted
    return items


def _scope_of(consumer: Consumer) -> Scope:
    """What belongs to the consumer, so that nobody else's rows are told however they are joined."""
    held = customers_of(consumer=consumer).values_list("stripe_customer_id", flat=True)
    stripe_customer_ids, known_as = tuple(held), tuple(ids_of(consumer))
    sold = Subscription.objects.filter(consumer=consumer)
    charges = Payment.objects.filter(consumer=consumer).values_list("stripe_charge_id", flat=True)
    checkouts = Checkout.objects.filter(consumer=consumer)
    sessions = checkouts.exclude(stripe_session_id="").values_list("stripe_session_id", flat=True)
    grants = Grant.objects.filter(consumer=consumer).select_related("plan", "feature")
    keys = ApiKey.objects.filter(consumer=consumer).only("public_id", "prefix", "last4")
    return Scope(
        consumer=consumer,
        known_as=known_as,
        stripe_customer_ids=stripe_customer_ids,
        subjects=(
            *known_as,
            *stripe_customer_ids,
            *sold.values_list("stripe_subscription_id", flat=True),
            *charges,
            *sessions,
        ),
        operations=tuple(
            pk for pk in checkouts.values_list("operation_id", flat=True) if pk is not None
        ),
        names={
            **{grant.public_id: str(grant.plan or grant.feature) for grant in grants},
            **{key.public_id: str(key) for key in keys},
        },
    )
