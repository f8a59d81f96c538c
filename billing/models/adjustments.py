"""Staff's wish to change what a creator is owed: who asked, who agreed, what became of it."""

from functools import partial

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.market import Creator, Earning
from keystore.ids import new_id
from keystore.models import Project


class AdjustmentState(models.TextChoices):
    AWAITING = "awaiting"  # a second person has to agree
    DONE = "done"  # on the ledger
    REJECTED = "rejected"
    EXPIRED = "expired"  # nobody agreed in time


class Adjustment(models.Model):
    """One change of a balance by hand. Above the project's limit it waits for a second person."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "adj"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="adjustments")
    creator = models.ForeignKey(Creator, models.PROTECT, related_name="adjustments")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()  # below 0: taken from the balance
    reason = models.TextField()
    wish = models.CharField(max_length=60, unique=True, editable=False)  # a double click is one
    state = models.CharField(max_length=10, choices=AdjustmentState, editable=False)
    requested_by = models.CharField(max_length=255)  # "staff:sam"
    decided_by = models.CharField(max_length=255, blank=True, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True, editable=False)
    decision_reason = models.TextField(blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)  # None: it never waited
    # Its line on the ledger. None: it has none (yet).
    earning = models.OneToOneField(
        Earning, models.PROTECT, null=True, related_name="adjustment", editable=False
    )
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [("approve_adjustment", "Can agree to another person's adjustment")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=AdjustmentState.values), name="adjustment_state_is_known"
            ),
            models.CheckConstraint(condition=~Q(amount_minor=0), name="adjustment_is_something"),
            # Four eyes: the second pair is never the first.
            models.CheckConstraint(
                condition=~Q(decided_by=F("requested_by")), name="adjustment_four_eyes"
            ),
            models.CheckConstraint(
                condition=Q(state="done", earning__isnull=False)
                | ~Q(state="done") & Q(earning=None),
                name="adjustment_is_on_the_ledger_when_done",
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], condition=Q(state="awaiting"), name="adjustment_waiting"
            ),
            # What a creator was given by hand lately counts against the limit.
            models.Index(fields=["creator", "created_at"], name="adjustment_by_creator"),
        ]

    def __str__(self) -> str:
        return self.public_id
