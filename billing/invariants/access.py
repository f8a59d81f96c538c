"""Promises about access: who pays gets in, who does not stays out."""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet

from billing.access import ENDED, PAYING
from billing.invariants.found import Check, Example, Found, example_of, found_list, found_rows
from billing.models import StripeCustomer, Subscription
from entitlements.answers import answer_body
from entitlements.facts import facts_of
from entitlements.models import Answer, Grant, GrantSource
from keystore.models import ApiKey

RENEWAL = timedelta(hours=2)  # Stripe drafts the invoice for an hour before it collects
PERIOD_OVER = timedelta(minutes=10) + RENEWAL
SKEW = timedelta(minutes=5)
SETTLED = timedelta(minutes=10)  # a sync may be under way
SAMPLE = 200


def period_over(at: datetime) -> Found:
    rows = Subscription.objects.filter(status__in=PAYING, current_period_end__lt=at - PERIOD_OVER)
    return found_rows(
        rows.order_by("current_period_end"),
        lambda row: f"{row.status}, its period ended {row.current_period_end:%Y-%m-%d %H:%M}",
    )


def period_ahead(at: datetime) -> Found:
    rows = Subscription.objects.filter(status__in=PAYING, current_period_start__gt=at + SKEW)
    return found_rows(
        rows.order_by("pk"),
        lambda row: f"its period begins {row.current_period_start:%Y-%m-%d %H:%M}",
    )


def customer_deleted(at: datetime) -> Found:
    gone = StripeCustomer.objects.filter(consumer=OuterRef("consumer"), deleted_at__isnull=False)
    rows = Subscription.objects.filter(Exists(gone), status__in=PAYING)
    return found_rows(rows.order_by("pk"), lambda row: "its customer was deleted at Stripe")


def grants_outlive(at: datetime) -> Found:
    ended = Subscription.objects.filter(
        stripe_subscription_id=OuterRef("source_ref"),
        status__in=ENDED,
        synced_at__lt=at - SETTLED,
    )
    rows = Grant.objects.live(at).filter(
        Exists(ended), source__in=(GrantSource.SUBSCRIPTION, GrantSource.TRIAL)
    )
    return found_rows(rows.order_by("pk"), lambda row: f"{row.source_ref} has ended")


def keys_outlive(at: datetime) -> Found:
    """Keys that were made for a sale, usable although nothing bought is in force any more."""
    paid = Grant.objects.live(at).filter(consumer=OuterRef("consumer"))
    rows = ApiKey.objects.filter(
        ~Exists(paid),
        Q(expires_at=None) | Q(expires_at__gt=at),
        consumer__isnull=False,
        disabled_at=None,
        revoked_at=None,
        created_at__lt=at - SETTLED,
    ).exclude(provisioned_for="")
    return found_rows(rows.order_by("pk"), lambda row: f"made for {row.provisioned_for}")


def slots_doubled(at: datetime) -> Found:
    """More than one usable key of a slot; keys that a newer one replaces end by themselves."""
    usable = ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=at), revoked_at=None, disabled_at=None
    )
    doubled = (
        usable.exclude(provisioned_for="")
        .values("project_id", "provisioned_for")
        .annotate(n=Count("pk"))
        .filter(n__gt=1)
        .order_by("provisioned_for")
    )
    examples: list[Example] = []
    for slot in doubled[:SAMPLE]:
        key = usable.filter(
            project_id=slot["project_id"], provisioned_for=slot["provisioned_for"]
        ).order_by("-pk")[0]
        examples.append(example_of(key, f"{slot['n']} usable keys for {slot['provisioned_for']}"))
    return found_list(examples)


def answers_wrong(at: datetime) -> Found:
    """The ready answers that were made last, and as many others, against the grants."""
    rows = Answer.objects.select_related("consumer").filter(
        Q(changes_at=None) | Q(changes_at__gt=at), computed_at__lte=at
    )
    newest = rows.order_by("-computed_at")[: SAMPLE // 2]
    sample = {row.pk: row for row in [*newest, *_some(rows)]}
    return found_list(list(_wrong(sample.values(), at)))


def _some(rows: QuerySet[Answer]) -> list[Answer]:
    """A hundred from a random place: ordering all rows by chance would read them all."""
    ends = Answer.objects.aggregate(first=Min("pk"), last=Max("pk"))
    if ends["first"] is None:
        return []
    begin = random.randint(ends["first"], ends["last"])
    return list(rows.filter(pk__gte=begin).order_by("pk")[: SAMPLE // 2])


def _wrong(rows: Iterable[Answer], at: datetime) -> Iterable[Example]:
    for row in rows:
        due = answer_body(row.consumer, facts_of(consumer=row.consumer), at, row.version)
        if row.body == due:
            continue
        row.refresh_from_db()  # a grant may have come between the two reads
        due = answer_body(row.consumer, facts_of(consumer=row.consumer), at, row.version)
        if row.body != due and row.computed_at <= at:
            yield example_of(row.consumer, f"answer {row.version} is not what the grants say")


CHECKS = (
    Check(
        "subscriptions-renew",
        "No paying subscription's period has been over for two hours",
        "Renewals are not heard of. Look at the inbox and at the sweep of Stripe's events, then "
        "sync the customers named here.",
        period_over,
    ),
    Check(
        "periods-have-begun",
        "No paying subscription's period begins in the future",
        "Compare the server's clock with Stripe's, then sync the customers.",
        period_ahead,
    ),
    Check(
        "subscribers-exist",
        "No customer that was deleted at Stripe has a paying subscription",
        "Sync the customer: a deleted one has no subscriptions at Stripe.",
        customer_deleted,
    ),
    Check(
        "grants-end-with-subscriptions",
        "No grant of an ended subscription is in force",
        "Sync the customer: that ends the grant.",
        grants_outlive,
    ),
    Check(
        "keys-end-with-access",
        "No key that came with a sale opens anything without access",
        "Sync the customer: that suspends or revokes the key.",
        keys_outlive,
    ),
    Check(
        "one-key-per-slot",
        "A sale has one usable key",
        "Revoke the older keys on the customer's page, after asking which one is used.",
        slots_doubled,
    ),
    Check(
        "answers-follow-grants",
        "The ready answers say what the grants say (a sample)",
        "Sync the customer, which computes the answer anew, and report it: an act has written a "
        "grant without its answer.",
        answers_wrong,
    ),
)
