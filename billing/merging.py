"""Two consumers become one: staff found out that they are the same person.

Everything that gives access or shows history belongs to the survivor afterwards; whoever names
the duplicate is answered as the survivor. All layers move in one transaction, while no sync of
either Stripe customer runs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from billing.customers import customer_ids, customers_held
from billing.locks import CustomerBusy
from billing.merge_blocks import blocks_of
from billing.merge_rows import hand_over_sales, live_subscriptions
from billing.models import StripeCustomer
from config.errors import InvalidInput
from entitlements.merging import hand_over_grants
from keystore import audit
from keystore.merging import Moved, NotMergeable, check_pair, hand_over_identity, lock_pair
from keystore.models import AuditEntry, Consumer
from keystore.outbox import tell
from metering.merging import hand_over_usage
from metering.selectors import QuotaShown, entitlements_now, quota_of

MERGED, TAKEN_OVER = "consumer.merge", "consumer.take_over"
# A request that found the duplicate before the merge may write under it for so long.
STRAGGLING = timedelta(hours=1)


@dataclass
class Merger:
    """What a merge moved, and what the survivor may use after it. `done` False: it was before."""

    duplicate: Consumer
    survivor: Consumer
    done: bool = True
    moved: Moved = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    quotas: list[QuotaShown] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    left_customer: str = ""  # a Stripe customer that is not charged any more


def merge_consumers(
    *,
    duplicate: Consumer,
    survivor: Consumer,
    actor: str,
    reason: str,
    clock: Callable[[], datetime],
) -> Merger:
    """Make the duplicate a name of the survivor. The same again changes nothing.

    Raises NotMergeable with what to do first, CustomerBusy.
    """
    if not reason.strip():
        raise InvalidInput("Say why they are merged: the audit trail keeps it.")
    with customers_held(duplicate, survivor) as locks, transaction.atomic():
        for lock in locks.values():
            lock.require()
        merger = _merge(duplicate, survivor, clock(), held=set(locks))
        if merger.blocks:
            raise NotMergeable(" ".join(merger.blocks))
        if merger.done:
            _record(merger, actor, reason, clock())
    return merger


def rehearse_merge(*, duplicate: Consumer, survivor: Consumer, at: datetime) -> Merger:
    """What a merge would do and what stands against it; everything is rolled back.

    Raises NotMergeable, NotFound for a pair that can never be merged.
    """
    with transaction.atomic():
        merger = _merge(duplicate, survivor, at, held=None)
        transaction.set_rollback(True)
    return merger


def adopt_stragglers(*, at: datetime) -> int:
    """Move what was written under a duplicate while it was merged; of how many there was any."""
    entries = AuditEntry.objects.filter(act=MERGED, created_at__gt=at - STRAGGLING)
    names = set(entries.values_list("object_id", flat=True))
    return sum(_adopt(name, at) for name in sorted(names))


@transaction.atomic
def _adopt(public_id: str, at: datetime) -> bool:
    found = Consumer.objects.select_related("merged_into").get(public_id=public_id)
    if found.merged_into is None:
        return False
    duplicate, survivor = lock_pair(found, found.merged_into)
    moved = _hand_over(duplicate, survivor, survivor, at)
    return any(moved.values())


def _merge(
    duplicate: Consumer, survivor: Consumer, at: datetime, *, held: set[str] | None
) -> Merger:
    duplicate, survivor = lock_pair(duplicate, survivor)
    if duplicate.merged_into_id == survivor.pk:
        return Merger(duplicate, survivor, done=False)
    check_pair(duplicate, survivor)
    if held is not None and not set(customer_ids(duplicate, survivor)) <= held:
        raise CustomerBusy("One of the two was just made a Stripe customer: try again.")
    merger = Merger(duplicate, survivor, blocks=blocks_of(duplicate, survivor))
    if merger.blocks:
        return merger
    before = _open_features(duplicate, at) | _open_features(survivor, at)
    was_open = _open_features(survivor, at)
    cycle_of = duplicate if live_subscriptions(duplicate) else survivor
    merger.moved = _hand_over(duplicate, survivor, cycle_of, at)
    after = _open_features(survivor, at)
    merger.opened, merger.closed = sorted(after - was_open), sorted(before - after)
    merger.quotas = quota_of(consumer=survivor, at=at)
    left = StripeCustomer.objects.filter(consumer=duplicate).first()
    merger.left_customer = left.stripe_customer_id if left else ""
    if merger.closed:
        merger.blocks.append(
            f"Something is denied that would then be closed for both: {', '.join(merger.closed)}. "
            "Revoke the denial first, or take it away from both."
        )
    return merger


def _hand_over(duplicate: Consumer, survivor: Consumer, cycle_of: Consumer, at: datetime) -> Moved:
    """From the ground up: the answer is made of the grants, the limits of the answer."""
    pair: dict[str, Any] = {"duplicate": duplicate, "survivor": survivor, "at": at}
    moved = hand_over_identity(**pair)
    moved |= hand_over_grants(**pair)
    moved |= hand_over_usage(**pair, cycle_of=cycle_of)
    return moved | hand_over_sales(**pair)


def _open_features(consumer: Consumer, at: datetime) -> set[str]:
    found = entitlements_now(consumer=consumer, at=at)
    return {one["feature_code"] for one in found if one["active"]}


def _record(merger: Merger, actor: str, reason: str, at: datetime) -> None:
    duplicate, survivor = merger.duplicate, merger.survivor
    moved = {name: count for name, count in merger.moved.items() if count}
    told: dict[str, Any] = {"actor": actor, "reason": reason, "at": at}
    audit.record(
        act=MERGED,
        target=duplicate,
        consumer=duplicate,
        before={"merged_into": None},
        after={"merged_into": survivor.public_id, "moved": moved},
        **told,
    )
    audit.record(
        act=TAKEN_OVER,
        target=survivor,
        consumer=survivor,
        after={"merged": duplicate.public_id, "moved": moved, "opened": merger.opened},
        **told,
    )
    tell(
        project=survivor.project,
        kind="consumer.merged",
        data={
            "id": duplicate.public_id,
            "user_id": duplicate.external_id,
            "merged_into": {"id": survivor.public_id, "user_id": survivor.external_id},
        },
        consumer=survivor,
        at=at,
    )
