"""What stands against a merge of two consumers, each with what to do."""

from billing.merge_rows import live_subscriptions
from billing.models import Creator, Operation, OperationKind, Subscription, UsageReport
from billing.models.operations import OPEN_STATES
from billing.models.usage import IN_FLIGHT
from keystore.models import Consumer

MOVING = "A call to Stripe for one of the two is under way: wait a minute, then try again."


def blocks_of(duplicate: Consumer, survivor: Consumer) -> list[str]:
    """In words for staff; empty: nothing does. Both are held by the caller."""
    found = [_both_pay(duplicate, survivor), _both_sell(duplicate, survivor)]
    if _is_moving(duplicate, survivor):
        found.append(MOVING)
    return [each for each in found if each]


def _both_pay(duplicate: Consumer, survivor: Consumer) -> str:
    """One Stripe customer is charged from then on, and nobody is to pay twice for one plan."""
    one, other = live_subscriptions(duplicate), live_subscriptions(survivor)
    if not one or not other:
        return ""
    plans = {row.plan_id for row in other if row.plan_id}
    same = next((row for row in one if row.plan_id in plans), None)
    if same is not None:
        return (
            f"Both pay for {same.plan}: cancel {same} of the duplicate now, refund what is left "
            "of it, then merge."
        )
    return (
        f"Both have a live subscription, {_named(one)} and {_named(other)}, each with a Stripe "
        "customer of its own: cancel one of them, or let it end, then merge."
    )


def _named(rows: list[Subscription]) -> str:
    return f"{rows[0]} ({rows[0].plan or 'no plan'})"


def _both_sell(duplicate: Consumer, survivor: Consumer) -> str:
    if Creator.objects.filter(consumer__in=(duplicate, survivor)).count() < 2:
        return ""
    return "Both sell APIs, each with an account at Stripe of its own: these cannot become one."


def _is_moving(duplicate: Consumer, survivor: Consumer) -> bool:
    pair = (duplicate, survivor)
    making = Operation.objects.filter(
        kind=OperationKind.CREATE_CUSTOMER,
        subject__in=[one.public_id for one in pair],
        state__in=OPEN_STATES,
    )
    telling = UsageReport.objects.filter(consumer__in=pair, state__in=IN_FLIGHT)
    return making.exists() or telling.values("consumer").distinct().count() > 1
