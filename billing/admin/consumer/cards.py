"""The consumer's payment methods: asked of Stripe when the page is there already."""

from datetime import datetime
from typing import Any

from django.urls import reverse

from billing.admin.consumer.tables import Section
from billing.models import StripeCustomer
from keystore.models import Consumer


def cards(consumer: Consumer, user: Any, at: datetime) -> Section | None:
    """None for those who never went to a checkout."""
    holder = StripeCustomer.objects.filter(consumer=consumer, deleted_at=None).first()
    if holder is None:
        return None
    url = reverse("admin:billing_stripecustomer_cards", args=[holder.pk])
    return Section(
        "payment-methods",
        "Payment methods",
        template="admin/acts/cards_later.html",
        extra={"url": url},
    )
