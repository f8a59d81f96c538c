"""What stands against giving back money now: asked before the click and again at it."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from billing.credits import given_otherwise_minor
from billing.models import Dispute, Operation, OperationKind, Payment, RefundLimit, RefundRequest
from billing.models.operations import OPEN_STATES
from billing.models.refund_requests import OPEN_REQUESTS
from billing.money import refuse_parts, shown
from config.errors import Conflict, InvalidInput
from keystore.models import AuditEntry

LIMIT_SETTLES = timedelta(days=1)

# A bank that only inquires has taken nothing yet; what is over stands against nothing.
HARMLESS_DISPUTES = (
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "won",
    "prevented",
)


class RefundBlocked(Conflict):
    code = "refund_blocked"


def left_minor(payment: Payment) -> int:
    """What neither refunds nor credit notes gave back."""
    left = payment.captured_minor - payment.refunded_minor - given_otherwise_minor(payment)
    return max(left, 0)


def refuse_amount(*, payment: Payment, amount_minor: int) -> None:
    """Raises InvalidInput for nothing, less, and parts of a unit that Stripe does not move;
    RefundBlocked for more than is left.
    """
    if amount_minor <= 0:
        raise InvalidInput("A refund must be for more than nothing.")
    if amount_minor > left_minor(payment):
        left = shown(left_minor(payment), payment.currency)
        raise RefundBlocked(f"Only {left} of this payment is left to give back.")
    if amount_minor != left_minor(payment):  # all of it is always what was charged once
        refuse_parts(amount_minor, payment.currency)


def refuse_blocked(*, payment: Payment, apart_from: RefundRequest | None = None) -> None:
    """Raises RefundBlocked with all that stands against a refund of the payment."""
    found = blocks_of(payment, apart_from=apart_from)
    if found:
        raise RefundBlocked(" ".join(found))


def blocks_of(payment: Payment, *, apart_from: RefundRequest | None = None) -> list[str]:
    """Each reason why no refund of the payment can begin, in a sentence."""
    return list(_blocks(payment, apart_from))


def _blocks(payment: Payment, apart_from: RefundRequest | None) -> Iterator[str]:
    if payment.status != "succeeded":
        yield f"This payment is {payment.status}: there is nothing to give back."
    elif left_minor(payment) <= 0:
        yield "All of this payment was given back before."
    yield from disputes_of(payment)
    others = RefundRequest.objects.filter(payment=payment, state__in=OPEN_REQUESTS)
    if apart_from is not None:
        others = others.exclude(pk=apart_from.pk)
    open_one = others.first()
    if open_one is not None:
        yield f"Request {open_one} by {open_one.requested_by} is {open_one.state}: end it first."
    elif _is_refund_under_way(payment):
        yield "An earlier refund of this payment has no outcome yet. Wait for it, then try again."


def disputes_of(payment: Payment) -> list[str]:
    """The disputes in which the bank took the money back itself, each in a sentence."""
    return list(_disputes(payment))


def _disputes(payment: Payment) -> Iterator[str]:
    found = Dispute.objects.filter(payment=payment)
    for dispute in found.exclude(status__in=HARMLESS_DISPUTES):
        yield (
            f"The buyer's bank took this money back itself (dispute {dispute}, "
            f"{dispute.status.replace('_', ' ')}): a refund would pay twice. "
            "Answer the dispute at Stripe."
        )
    if payment.disputed and not found.exists():
        yield "This payment is disputed: a refund would pay twice. Answer the dispute at Stripe."


def _is_refund_under_way(payment: Payment) -> bool:
    return Operation.objects.filter(
        kind=OperationKind.REFUND, subject=payment.stripe_charge_id, state__in=OPEN_STATES
    ).exists()


def approval_reason(*, payment: Payment, amount_minor: int, asker: str, at: datetime) -> str:
    """Why a second person must agree; "" when nobody need. Counted over all refunds of the
    payment, so that a large one cannot be given in small parts. `asker`: "" for nobody yet.
    """
    return second_person_reason(
        project_id=payment.project_id,
        currency=payment.currency,
        in_all_minor=payment.refunded_minor + amount_minor,
        asker=asker,
        words=("refund", "per payment"),
        at=at,
    )


def second_person_reason(
    *,
    project_id: int,
    currency: str,
    in_all_minor: int,
    asker: str,
    words: tuple[str, str],
    at: datetime,
) -> str:
    """The project's limit asked of any act that gives money away: "" below it. `words`: what the
    act is called, and what the limit counts over.
    """
    act, each = words
    limit = RefundLimit.objects.filter(project=project_id, currency=currency).first()
    if limit is None:
        return (
            f"the project has no limit for {currency.upper()}, so every {act} needs a second person"
        )
    above = limit.approval_above_minor
    if in_all_minor > above:
        return f"above {shown(above, currency)} {each} a second person must agree"
    if _has_moved(limit, asker, at):
        return f"whoever changed the limit within a day needs a second person for every {act}"
    return ""


def _has_moved(limit: RefundLimit, asker: str, at: datetime) -> bool:
    """Raising the limit for oneself would make the second person needless."""
    moves = AuditEntry.objects.filter(
        object_kind="refundlimit",
        object_id=str(limit.pk),
        actor=asker,
        created_at__gt=at - LIMIT_SETTLES,
    )
    return bool(asker) and moves.exists()
