"""Rates of tax that invoices written by hand name by their percentage."""

from django.db import models
from django.db.models import Q

from billing.models.operations import Operation
from keystore.models import Project


class TaxRate(models.Model):
    """One rate as Stripe has it; the same name and percentage is the same rate."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="tax_rates")
    name = models.CharField(max_length=50)
    percentage = models.DecimalField(max_digits=7, decimal_places=4)
    inclusive = models.BooleanField()  # the price holds it already
    stripe_tax_rate_id = models.CharField(max_length=255, blank=True)  # "": not made yet
    # The call that makes it; None: not begun.
    operation = models.ForeignKey(
        Operation, models.PROTECT, null=True, related_name="+", editable=False
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name", "percentage", "inclusive"], name="tax_rate_once"
            ),
            models.CheckConstraint(
                condition=Q(percentage__gte=0) & Q(percentage__lte=100),
                name="tax_rate_is_a_percentage",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.percentage.normalize():f} %"
