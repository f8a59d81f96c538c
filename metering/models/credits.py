"""Usage that was bought or given on top of a plan, and every unit that went in and out."""

from functools import partial

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models import Consumer, Project
from metering.columns import quantity_field
from metering.models.meters import Meter


class CreditSource(models.TextChoices):
    PURCHASE = "purchase"
    STAFF = "staff"
    PLAN = "plan"


class CreditKind(models.TextChoices):
    GIVEN = "given"
    SPENT = "spent"
    RETURNED = "returned"
    EXPIRED = "expired"
    REVOKED = "revoked"


class CreditPack(models.Model):
    """Units of one meter: burnt after the plan's limit, by priority, then nearest expiry."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "pack"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    consumer = models.ForeignKey(
        Consumer, models.PROTECT, related_name="credit_packs", db_index=False
    )
    meter = models.ForeignKey(Meter, models.PROTECT, related_name="credit_packs")
    amount = quantity_field()
    remaining = quantity_field()
    priority = models.PositiveSmallIntegerField(default=100)  # 1 burns first, 255 last
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    source = models.CharField(max_length=10, choices=CreditSource)
    source_ref = models.CharField(max_length=255, blank=True)  # pi_..., a grant, a ticket
    reason = models.TextField(blank=True)
    given_by = models.CharField(max_length=255, blank=True)
    idempotency_key = models.CharField(max_length=255, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [
            ("give_creditpack", "Can give credits"),
            ("revoke_creditpack", "Can take credits back"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["consumer", "idempotency_key"], name="pack_once_per_idempotency_key"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="pack_amount_is_positive"),
            models.CheckConstraint(
                condition=Q(remaining__gte=0, remaining__lte=F("amount")),
                name="pack_never_negative",
            ),
            models.CheckConstraint(
                condition=Q(priority__gte=1, priority__lte=255), name="pack_priority_in_range"
            ),
            models.CheckConstraint(
                condition=Q(source__in=CreditSource.values), name="pack_source_is_known"
            ),
        ]
        indexes = [
            # Read by every use that its plan's limit does not cover.
            models.Index(
                fields=["consumer", "meter", "priority"],
                condition=Q(remaining__gt=0, revoked_at=None),
                name="pack_with_credits",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.remaining} of {self.amount}"


class CreditEntry(models.Model):
    """One movement of a pack; rows are only added and their sum is what remains."""

    id = models.BigAutoField(primary_key=True)
    pack = models.ForeignKey(CreditPack, models.PROTECT, related_name="entries")
    kind = models.CharField(max_length=10, choices=CreditKind)
    delta = quantity_field()
    reference = models.CharField(max_length=64, blank=True)  # the event or reservation
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name_plural = "credit entries"
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=CreditKind.values), name="credit_kind_is_known"
            ),
        ]
        indexes = [
            models.Index(
                fields=["reference"], condition=~Q(reference=""), name="credit_by_reference"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.delta}"
