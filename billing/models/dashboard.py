"""The way of customers to their own pages: a link that opens once, and the visit that it begins."""

from functools import partial

from django.db import models
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models import Consumer, TokenIssuer


class DashboardLink(models.Model):
    """A one-time link. Opened, it is the customer's visit until `ended_at` or its hour is over."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "dsh"))
    consumer = models.ForeignKey(Consumer, models.CASCADE, related_name="dashboard_links")
    digest = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256 of its token
    return_url = models.TextField(blank=True)
    expires_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, editable=False)  # None: nobody opened it
    opened_by = models.CharField(max_length=64, blank=True, editable=False)  # browser's digest
    ended_at = models.DateTimeField(null=True, editable=False)  # the customer left
    # Opened by a token instead of a link: who signed it, and when it ends. None: by a link.
    issuer = models.ForeignKey(
        TokenIssuer, models.PROTECT, null=True, related_name="+", editable=False
    )
    until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = "dashboard link"

    def __str__(self) -> str:
        return self.public_id
