"""What was granted to somebody who is forgotten: the grants stay, who and why goes."""

from collections.abc import Collection

from django.db import transaction

from entitlements.models import Answer, Grant, GrantBatchLine
from keystore.erasing import Forgetter
from keystore.models import Consumer


@transaction.atomic
def erase_grants(*, consumers: Collection[Consumer], forget: Forgetter) -> None:
    """Their answers go, for nobody can ask for them any more."""
    Answer.objects.filter(consumer__in=consumers).delete()
    forget.rows(Grant.objects.filter(consumer__in=consumers), "reason", "ticket", "granted_by")
    forget.rows(GrantBatchLine.objects.filter(consumer__in=consumers), "asked", "problem")
