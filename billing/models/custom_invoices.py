"""Invoices that are written by hand: for enterprises that pay on terms."""

from functools import partial

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from billing.models.operations import Operation
from keystore.ids import new_id
from keystore.models import Consumer, Project


class CustomState(models.TextChoices):
    DRAFTING = "drafting"  # Stripe is being told
    DRAFT = "draft"
    REVISING = "revising"  # the draft gives way to another one
    SENDING = "sending"
    SENT = "sent"
    WITHDRAWING = "withdrawing"
    WITHDRAWN = "withdrawn"  # void, or deleted as a draft
    FAILED = "failed"  # Stripe refused the draft


UNDER_WAY = (
    CustomState.DRAFTING,
    CustomState.REVISING,
    CustomState.SENDING,
    CustomState.WITHDRAWING,
)


class CustomInvoice(models.Model):
    """One such invoice from the wish to its end; a crash resumes it where it was."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "cin"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="custom_invoices")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="custom_invoices")
    currency = models.CharField(max_length=3)
    # [{"description", "quantity", "unit_amount_minor"} or {"price_id", "quantity"}], each with
    # "taxes" where it is taxed: [{"name", "percentage", "inclusive", "tax_rate_id"?}]
    lines = models.JSONField()
    days_until_due = models.PositiveSmallIntegerField()
    memo = models.CharField(max_length=500, blank=True)
    po_number = models.CharField(max_length=140, blank=True)
    footer = models.CharField(max_length=1000, blank=True)
    automatic_tax = models.BooleanField(default=False)  # Stripe finds and counts the taxes
    # What replaces the draft while it is revised; None: nothing.
    revision = models.JSONField(null=True, editable=False)
    wish = models.CharField(max_length=300, blank=True, editable=False)  # the same is one invoice
    content_hash = models.CharField(max_length=64, blank=True, editable=False)
    state = models.CharField(max_length=12, choices=CustomState, default=CustomState.DRAFTING)
    # The step that is under way; None between two.
    operation = models.ForeignKey(
        Operation, models.PROTECT, null=True, related_name="+", editable=False
    )
    stripe_invoice_id = models.CharField(max_length=255, blank=True, editable=False)
    problem = models.TextField(blank=True, editable=False)
    created_by = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=now, editable=False)
    next_look_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [
            ("send_custominvoice", "Can send an invoice written by hand, or take it back")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "wish"],
                condition=~Q(wish=""),
                name="custom_invoice_once_per_wish",
            ),
            models.UniqueConstraint(
                fields=["stripe_invoice_id"],
                condition=~Q(stripe_invoice_id=""),
                name="custom_invoice_once_at_stripe",
            ),
            models.CheckConstraint(
                condition=Q(state__in=CustomState.values), name="custom_invoice_state_is_known"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_look_at"],
                condition=Q(state__in=UNDER_WAY),
                name="custom_invoice_under_way",
            ),
            models.Index(fields=["consumer", "-created_at"], name="custom_invoice_by_consumer"),
        ]

    def __str__(self) -> str:
        return self.public_id
