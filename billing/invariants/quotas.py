"""Promises about quotas: only what was used counts, and every credit is accounted for."""

from datetime import datetime, timedelta

from django.db.models import DecimalField, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from billing.invariants.found import Check, Found, found_rows
from entitlements.resolve import END_OF_TIME
from metering.models import (
    Aggregation,
    CreditEntry,
    CreditPack,
    QuotaBalance,
    Reservation,
    ReservationState,
    UsageEvent,
)

LOOKED_BACK = timedelta(days=2)  # a period that ended longer ago changes no more
SAMPLE = 1000
LATE = timedelta(minutes=10)
AMOUNT = DecimalField(max_digits=38, decimal_places=12)


def balances_above_events(at: datetime) -> Found:
    """The newest balances whose period runs: they may count no more than their events.

    Less is possible and right: when a plan resets otherwise, its period begins anew in mid-way.
    """
    running = Q(period_end=None) | Q(period_end__gt=at - LOOKED_BACK)
    sums = QuotaBalance.objects.filter(
        running, used__gt=0, meter__aggregation=Aggregation.SUM
    ).order_by("-pk")
    end = Coalesce(OuterRef("period_end"), Value(END_OF_TIME))
    events = UsageEvent.objects.filter(
        consumer=OuterRef("consumer"),
        meter=OuterRef("meter"),
        counts_at__gte=OuterRef("period_start"),
        counts_at__lt=end,
    )
    counted = events.order_by().values("consumer").annotate(total=Sum("quantity")).values("total")
    newest = list(sums.values_list("pk", flat=True)[:SAMPLE])
    rows = QuotaBalance.objects.filter(pk__in=newest).annotate(
        told=Coalesce(Subquery(counted), 0, output_field=AMOUNT)
    )
    return found_rows(
        rows.filter(used__gt=F("told")).order_by("pk"),
        lambda row: f"the balance counts {row.used:f}, its events {row.told:f}",
    )


def ledger_differs(at: datetime) -> Found:
    entries = CreditEntry.objects.filter(pack=OuterRef("pk")).order_by().values("pack")
    total = entries.annotate(total=Sum("delta")).values("total")
    rows = CreditPack.objects.filter(remaining__gt=0).annotate(
        entered=Coalesce(Subquery(total), 0, output_field=AMOUNT)
    )
    return found_rows(
        rows.exclude(entered=F("remaining")).order_by("pk"),
        lambda row: f"{row.remaining:f} remain, the entries add up to {row.entered:f}",
    )


def reserved_differs(at: datetime) -> Found:
    held = Reservation.objects.filter(balance=OuterRef("pk"), state=ReservationState.HELD)
    total = held.order_by().values("balance").annotate(total=Sum("quantity")).values("total")
    rows = QuotaBalance.objects.filter(reserved__gt=0).annotate(
        held=Coalesce(Subquery(total), 0, output_field=AMOUNT)
    )
    return found_rows(
        rows.exclude(held=F("reserved")).order_by("pk"),
        lambda row: f"{row.reserved:f} kept back, its reservations hold {row.held:f}",
    )


def reservations_overdue(at: datetime) -> Found:
    rows = Reservation.objects.filter(state=ReservationState.HELD, expires_at__lt=at - LATE)
    return found_rows(
        rows.order_by("pk"), lambda row: f"expired {row.expires_at:%Y-%m-%d %H:%M}, still held"
    )


CHECKS = (
    Check(
        "balances-count-their-events",
        "No balance counts more than the events of its period",
        "Somebody is refused too early. Compare the balance with GET /api/v1/usage of that user "
        "and period, give credits for the difference, and report it.",
        balances_above_events,
    ),
    Check(
        "credits-equal-their-ledger",
        "What remains of credits is the sum of their entries",
        "Read the movements of the pack; take the pack back and give one with what is right.",
        ledger_differs,
    ),
    Check(
        "kept-back-is-held",
        "What balances keep back is what their reservations hold",
        "Somebody is refused too early or too late. Report it with the balance and its "
        "reservations.",
        reserved_differs,
    ),
    Check(
        "reservations-end",
        "No reservation is held long after its time",
        "See Jobs: metering.tasks.expire_reservations must run. Nobody is refused because of it.",
        reservations_overdue,
    ),
)
