"""Payouts that stand still: longer under way than their state takes when all goes well."""

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from billing.models import Payout, PayoutState

# A payout's age when its state is not normal any more. A bank takes up to a week.
LONGEST = {
    PayoutState.WANTED: timedelta(hours=1),
    PayoutState.TRANSFERRED: timedelta(hours=2),
    PayoutState.PAYING: timedelta(days=8),
    PayoutState.RETURNING: timedelta(days=9),
}


def stuck_payouts(*, at: datetime) -> QuerySet[Payout]:
    late = Q()
    for state, longest in LONGEST.items():
        late |= Q(state=state, created_at__lt=at - longest)
    return Payout.objects.filter(late)
