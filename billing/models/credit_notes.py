"""Invoices that are corrected downwards, by us or at Stripe."""

from functools import partial

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from billing.models.operations import Operation
from billing.models.projections import Invoice
from billing.models.refund_requests import RefundRequest
from keystore.ids import new_id
from keystore.models import Consumer, Project


class NoteStatus(models.TextChoices):
    """Stripe's words, and before them how far ours is."""

    REFUNDING = "refunding"  # its refund must be through first
    WANTED = "wanted"  # Stripe is being told
    ISSUED = "issued"
    VOID = "void"
    FAILED = "failed"  # refused: nothing is credited


class SettledBy(models.TextChoices):
    """What becomes of the credited amount."""

    DUE = "due"  # it lowers what an open invoice still asks for
    REFUND = "refund"  # the money goes back, by the refund desk
    BALANCE = "balance"  # the next invoices cost less
    OUTSIDE = "outside"  # it was given back outside of Stripe


# A note in one of these takes its amount from what may still be credited.
HOLDING_NOTES = (NoteStatus.REFUNDING, NoteStatus.WANTED, NoteStatus.ISSUED)
UNISSUED = (NoteStatus.REFUNDING, NoteStatus.WANTED)


class CreditNote(models.Model):
    """A credit note on one invoice. Made by us it has `settle`; made at Stripe it has none."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "crn"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="credit_notes")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="credit_notes")
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="credit_notes")
    # "": Stripe has not confirmed it
    stripe_credit_note_id = models.CharField(max_length=255, blank=True)
    number = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=20)
    reason = models.CharField(max_length=60, blank=True)  # Stripe's word
    amount_minor = models.BigIntegerField()  # with its tax
    tax_minor = models.BigIntegerField(default=0)  # part of the amount
    # The amount in its parts: before payment, and the ways back after it.
    due_minor = models.BigIntegerField(default=0)
    refunded_minor = models.BigIntegerField(default=0)
    balance_minor = models.BigIntegerField(default=0)
    outside_minor = models.BigIntegerField(default=0)
    stripe_refund_ids = models.JSONField(default=list)  # refunds that belong to it
    currency = models.CharField(max_length=3)
    pdf_url = models.TextField(blank=True)
    # What was asked of us; empty for one that was made at Stripe.
    settle = models.CharField(max_length=10, choices=SettledBy, blank=True)
    asked = models.JSONField(default=dict)  # the parameters that say what is credited
    why = models.TextField(blank=True)
    memo = models.CharField(max_length=500, blank=True)
    wish = models.CharField(max_length=100, blank=True, editable=False)  # a double click is one
    created_by = models.CharField(max_length=255, blank=True)
    operation = models.OneToOneField(
        Operation, models.PROTECT, null=True, related_name="+", editable=False
    )  # None: not sent yet, or made at Stripe
    refund_request = models.OneToOneField(
        RefundRequest, models.PROTECT, null=True, related_name="credit_note", editable=False
    )  # None: no money goes back by us
    problem = models.TextField(blank=True, editable=False)
    next_look_at = models.DateTimeField(default=now, editable=False)
    created_at = models.DateTimeField()
    synced_at = models.DateTimeField(null=True)  # None: Stripe was not asked yet

    class Meta:
        permissions = [("issue_creditnote", "Can issue and void credit notes")]
        constraints = [
            models.UniqueConstraint(
                fields=["stripe_credit_note_id"],
                condition=~Q(stripe_credit_note_id=""),
                name="credit_note_once_at_stripe",
            ),
            models.UniqueConstraint(
                fields=["project", "wish"], condition=~Q(wish=""), name="credit_note_once_per_wish"
            ),
        ]
        indexes = [
            models.Index(fields=["consumer", "created_at"], name="credit_note_by_consumer"),
            models.Index(
                fields=["next_look_at"],
                condition=Q(status__in=UNISSUED),
                name="credit_note_under_way",
            ),
        ]

    def __str__(self) -> str:
        return self.number or self.stripe_credit_note_id or self.public_id
