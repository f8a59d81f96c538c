"""Where a dialog about a subscription leads back to."""

from django.http import HttpRequest
from django.urls import reverse

from billing.models import Subscription
from keystore.admin.dialogs import opened_on


def back_of(request: HttpRequest, subscription: Subscription) -> str:
    consumer = reverse("admin:keystore_consumer_change", args=[subscription.consumer_id])
    own = reverse("admin:billing_subscription_change", args=[subscription.pk])
    return opened_on(request, pages=[consumer], otherwise=own)
