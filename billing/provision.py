"""The API key that comes with a purchase: made once, kept in step with the access it stands for."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from billing.access import Window, is_open
from billing.models import Price
from keystore import services as keystore
from keystore.models import Consumer, Environment

DEFAULT_SLOT = "default"


@dataclass(frozen=True)
class Sale:
    """What was bought: `source_ref` is the subscription or the payment behind it."""

    consumer: Consumer
    source_ref: str
    price: Price
    customer_email: str
    source_name: str = "subscription_id"


def slot_of(source_ref: str) -> str:
    """The name of the one key of a sale."""
    return f"{source_ref}:{DEFAULT_SLOT}"


def provision(*, sale: Sale, window: Window | None, ended: bool, at: datetime) -> None:
    """Give, adapt, suspend or revoke the sale's key so that it says what the window says.

    `ended`: the sale never comes back, so its key is revoked; otherwise it is only suspended
    and works again when the payment is made good.
    """
    slot = slot_of(sale.source_ref)
    project = sale.consumer.project
    if is_open(window, at) and window is not None:
        if sale.price.plan.issues_key:
            _give(sale, slot, window[1], at)
    elif ended:
        keystore.retire_key(
            project=project, slot=slot, reason=f"{sale.source_ref} has ended", at=at
        )
    else:
        keystore.suspend_key(project=project, slot=slot, at=at)


def _give(sale: Sale, slot: str, until: datetime | None, at: datetime) -> None:
    plan = sale.price.plan
    keystore.provision_key(
        consumer=sale.consumer,
        slot=slot,
        environment=Environment.LIVE if settings.STRIPE_LIVE_MODE else Environment.TEST,
        api=plan.api,
        limit_per_minute=plan.limit_per_minute,
        expires_at=until,
        metadata={
            "customer_email": sale.customer_email,
            sale.source_name: sale.source_ref,
            "price_id": sale.price.stripe_price_id,
            "plan": plan.code,
        },
        at=at,
    )
