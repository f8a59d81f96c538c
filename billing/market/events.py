"""Events about connected accounts: what they say is read again at Stripe."""

from collections.abc import Callable
from datetime import datetime

from billing.market.creators import refresh_creator
from billing.market.payouts import follow_payout
from billing.models import Creator, InboxEvent, Payout


def follow(event: InboxEvent, clock: Callable[[], datetime]) -> str:
    """Take over an account or a payout as it is now; returns what was done, "" if it is neither
    or none of ours.
    """
    if event.type == "account.updated":
        return _follow_account(event.object_id, clock)
    if event.type.startswith("payout."):
        return _follow_payout(event.object_id, clock)
    return ""


def _follow_account(account_id: str, clock: Callable[[], datetime]) -> str:
    rows = Creator.objects.select_related("consumer")
    creator = rows.filter(stripe_account_id=account_id).exclude(stripe_account_id="").first()
    if creator is None:
        return ""
    refresh_creator(creator=creator, clock=clock)
    return f"creator {creator.public_id} is {creator.state}"


def _follow_payout(payout_id: str, clock: Callable[[], datetime]) -> str:
    rows = Payout.objects.select_related("project", "creator")
    payout = rows.filter(stripe_payout_id=payout_id).exclude(stripe_payout_id="").first()
    if payout is None:
        return ""
    follow_payout(payout=payout, clock=clock)
    payout.refresh_from_db()
    return f"payout {payout.public_id} is {payout.state}"
