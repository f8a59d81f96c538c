"""Usage against quota as bars, and the packs of credits, on the consumer page."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.urls import reverse

from billing.admin.consumer.tables import Act, Section, day, label, link, newest
from keystore.models import Consumer
from metering.admin.quotas import STATE_COLOURS, state_of, words
from metering.models import CreditPack
from metering.selectors import QuotaShown, quota_of

GIVE, TAKE = "metering.give_creditpack", "metering.revoke_creditpack"
NEARLY = 80  # percent from which a bar warns


@dataclass(frozen=True)
class Bar:
    """`percent` None: unlimited, so there is nothing to fill."""

    name: str
    told: str
    percent: int | None
    tone: str
    notes: list[str]


def quotas(consumer: Consumer, user: Any, at: datetime) -> Section | None:
    """None where nothing is limited and no credits were ever given."""
    bars = [bar_of(quota) for quota in quota_of(consumer=consumer, at=at)]
    packs = CreditPack.objects.filter(consumer=consumer).select_related("meter", "consumer")
    if not bars and not packs.exists():
        return None
    table = newest(
        consumer=consumer,
        rows=packs.order_by("-pk"),
        headers=["Credits", "Meter", "Left", "State", "Until", "Given by", "Reason"],
        cells=lambda pack: [
            link(pack, pack.public_id),
            str(pack.meter),
            f"{words(pack.remaining)} of {words(pack.amount)}",
            label(state_of(pack, at), STATE_COLOURS.get(state_of(pack, at), "")),
            day(pack.expires_at) or "no end",
            pack.given_by,
            pack.reason,
        ],
        acts=lambda pack: _row_acts(pack, user, at),
        empty="No credits were given.",
    )
    give = _address("give_credits", consumer)
    acts = [Act("Give credits", give)] if user.has_perm(GIVE) and bars else []
    return Section(
        "usage",
        "Usage against quota",
        table,
        acts=acts,
        short="Usage",
        template="admin/consumer/usage.html",
        extra={"bars": bars},
    )


def bar_of(quota: QuotaShown) -> Bar:
    left = quota.left
    notes = []
    if left.reserved:
        notes.append(f"{words(left.reserved)} kept back")
    if left.credits:
        notes.append(f"{words(left.credits)} credits")
    if left.overage:
        notes.append(f"{words(left.overage)} beyond the limit")
    ends = quota.resets_at
    notes.append(
        f"starts anew {ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if ends else "never resets"
    )
    percent = _percent(quota)
    tone = "full" if (percent or 0) >= 100 else "near" if (percent or 0) >= NEARLY else "calm"
    told = f"{words(left.used)} of {words(left.limit)} {_many(quota.meter.unit)}".strip()
    return Bar(str(quota.meter), told, percent, tone, notes)


def _many(unit: str) -> str:
    """A "call" as "calls"; "GB" and "seconds" as they are."""
    is_one = unit.isalpha() and unit.islower() and not unit.endswith("s")
    return f"{unit}s" if is_one else unit


def _percent(quota: QuotaShown) -> int | None:
    left = quota.left
    if left.limit is None:
        return None
    if not left.limit:
        return 100
    taken = left.used + left.reserved - left.from_credits
    return max(0, min(100, int(taken * 100 / left.limit)))


def _row_acts(pack: CreditPack, user: Any, at: datetime) -> list[Act]:
    if not user.has_perm(TAKE) or state_of(pack, at) != "in use":
        return []
    address = f"{_address('take_credits', pack.consumer)}?row={pack.public_id}"
    return [Act("Take back", address, danger=True)]


def _address(act: str, consumer: Consumer) -> str:
    return reverse(f"admin:keystore_consumer_{act}", args=[consumer.pk])
