"""What a creator has earned and not been paid: the sum of their ledger, per currency."""

from django.db.models import Sum

from billing.models import Creator, Earning, PayoutMinimum
from billing.money import step_of

# Of these Stripe pays out whole units only, though their amounts are in hundredths.
PAID_IN_WHOLE_UNITS = frozenset({"huf", "isk", "twd", "ugx"})


def balances_of(creator: Creator) -> dict[str, int]:
    """By currency; below 0 when more was taken back than earned since the last payout."""
    rows = Earning.objects.filter(creator=creator).values_list("currency")
    return dict(rows.annotate(sum=Sum("amount_minor")).order_by("currency"))


def balance_of(creator: Creator, currency: str) -> int:
    return balances_of(creator).get(currency, 0)


def payable_of(amount_minor: int, currency: str) -> int:
    """What of a balance Stripe can pay out: the rest stays on the balance."""
    step = 100 if currency in PAID_IN_WHOLE_UNITS else step_of(currency)
    return max(amount_minor // step * step, 0)


def minimum_of(creator: Creator, currency: str) -> int:
    """The least that the schedule pays out."""
    rows = PayoutMinimum.objects.filter(project=creator.project_id, currency=currency)
    found = rows.values_list("amount_minor", flat=True).first()
    return found or 1
