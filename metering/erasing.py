"""What somebody who is forgotten has used: the figures stay, remarks about the person go."""

from collections.abc import Collection

from django.db import transaction

from keystore.erasing import Forgetter
from keystore.models import Consumer
from metering.models import CreditPack


@transaction.atomic
def erase_remarks(*, consumers: Collection[Consumer], forget: Forgetter) -> None:
    """Properties of usage events stay: apps are told to put nothing personal there."""
    packs = CreditPack.objects.filter(consumer__in=consumers)
    forget.rows(packs, "reason", "source_ref", "given_by")
