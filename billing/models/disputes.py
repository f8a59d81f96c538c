"""Money that a buyer's bank takes back."""

from functools import partial

from django.db import models

from billing.models.projections import Payment
from keystore.ids import new_id
from keystore.models import Consumer, Project


class Dispute(models.Model):
    """A Stripe dispute (chargeback) of one payment. `status` is Stripe's own word."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "dsp"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="disputes")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="disputes")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="disputes")
    stripe_dispute_id = models.CharField(max_length=255, unique=True)
    status = models.CharField(max_length=40)
    reason = models.CharField(max_length=60, blank=True)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    evidence_due_at = models.DateTimeField(null=True, blank=True)  # None: nothing to send
    created_at = models.DateTimeField()
    synced_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["consumer", "created_at"], name="dispute_by_consumer")]

    def __str__(self) -> str:
        return self.stripe_dispute_id
