"""A refund's preview and its steps in sentences for staff."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from billing.models import (
    AfterRefund,
    OperationState,
    RefundRequest,
    RefundStatus,
    RequestState,
)
from billing.models.refund_requests import OPEN_REQUESTS
from billing.money import shown
from billing.refund_outcome import CAME_TO_NOTHING
from billing.refund_preview import RefundPreview, paid_for

DONE, NOW, LATER, BAD, SKIPPED = "done", "under way", "to come", "failed", "not needed"
COLOURS = {DONE: "success", NOW: "info", LATER: "", BAD: "danger", SKIPPED: ""}


@dataclass(frozen=True)
class Step:
    name: str
    state: str
    detail: str

    @property
    def colour(self) -> str:
        return COLOURS[self.state]


def sentences_of(preview: RefundPreview) -> list[tuple[str, str]]:
    """What will follow, line by line."""
    return [
        ("Money", _money(preview)),
        ("Tax", _tax(preview)),
        ("Access", _access(preview)),
        ("Keys", _keys(preview)),
        ("Unused", _unused(preview)),
        ("Second person", preview.approval_reason or "nobody else needs to agree"),
        ("Your budget", _budget(preview)),
    ]


def _money(preview: RefundPreview) -> str:
    back, left = (
        shown(minor, preview.currency)
        for minor in (preview.amount_minor, max(preview.left_after_minor, 0))
    )
    whole = "all that is left" if preview.is_full else f"{left} stays with us"
    return f"{back} goes back to the card that paid, {whole}"


def _tax(preview: RefundPreview) -> str:
    if not preview.tax_minor:
        return "Stripe names no tax of this payment"
    tax = shown(preview.tax_minor, preview.currency)
    return f"{tax} of it is tax; a credit note at Stripe corrects the invoice"


def _access(preview: RefundPreview) -> str:
    if not preview.plan:
        return "this payment opened nothing here"
    names = ", ".join(grant.public_id for grant in preview.grants) or "no live grant"
    what = f"{preview.plan} ({names})"
    if preview.access_ends_at is None:
        return f"{what} stays open"
    lost = ", ".join(preview.features_lost) or "no feature"
    said = f"{what} ends {_when(preview)}; that closes {lost}"
    if preview.features_kept:
        said += f"; other grants keep {', '.join(preview.features_kept)}"
    return said


def _when(preview: RefundPreview) -> str:
    ends_at = preview.access_ends_at
    subscription = preview.paid_for.subscription
    at_end = subscription is not None and ends_at == subscription.current_period_end
    return f"on {_minute(ends_at)}, with the period" if ends_at and at_end else "now"


def _keys(preview: RefundPreview) -> str:
    if not preview.keys:
        return "no key stops"
    names = ", ".join(str(key) for key in preview.keys)
    if preview.keys_are_revoked:
        return f"{names} stops with the subscription, for good"
    return f"{names} stops; it works again if the refund fails"


def _unused(preview: RefundPreview) -> str:
    left = preview.unused
    if left is None:
        return "no running period was paid with this"
    worth = shown(left.amount_minor, preview.currency)
    return f"{left.days_left} of {left.days} days of the period lie ahead, worth {worth}"


def _budget(preview: RefundPreview) -> str:
    if preview.budget_left_minor is None:
        return "no cap for your role"
    left = shown(preview.budget_left_minor, preview.currency)
    return f"{left} left this month ({preview.budget_role})"


def steps_of(request: RefundRequest) -> list[Step]:
    """From the ask to the end, each with how far it is."""
    return [*_asked(request), _money_step(request), *_after(request), _access_step(request)]


def is_open(request: RefundRequest) -> bool:
    return request.state in OPEN_REQUESTS


def _asked(request: RefundRequest) -> Iterator[Step]:
    said = f"{request.requested_by}, {_minute(request.created_at)}: {request.reason}"
    yield Step("Asked for", DONE, said)
    if request.expires_at is None:
        return
    if request.state == RequestState.AWAITING:
        yield Step("Second person", NOW, f"waits until {_minute(request.expires_at)}")
        return
    bad = request.state in (RequestState.REJECTED, RequestState.EXPIRED)
    by = request.decided_by or request.requested_by
    when = _minute(request.decided_at) if request.decided_at else ""
    said = f"{by}, {when}: {request.decision_reason}"
    yield Step("Second person", BAD if bad else DONE, said)


def _money_step(request: RefundRequest) -> Step:
    refund, name = request.refund, "Money"
    if refund is None:
        return Step(name, LATER if is_open(request) else SKIPPED, "nothing has moved")
    amount = shown(refund.amount_minor, refund.currency)
    if refund.status in CAME_TO_NOTHING:
        return Step(name, BAD, request.problem or f"{amount}: {refund.status}")
    if refund.status == RefundStatus.WANTED:
        tries = refund.operation.attempts if refund.operation else 0
        said = f"{amount} is held; {tries} tries at Stripe so far. {request.problem}"
        return Step(name, NOW, said.strip())
    if refund.status == RefundStatus.SUCCEEDED:
        return Step(name, DONE, f"{amount} went back, {refund.stripe_refund_id}")
    return Step(name, DONE, f"{amount} is on its way ({refund.status}), {refund.stripe_refund_id}")


def _after(request: RefundRequest) -> Iterator[Step]:
    if request.subscription is None:
        return
    name, operation = "Subscription", request.cancel_operation
    if request.after == AfterRefund.KEEP:
        yield Step(name, SKIPPED, f"{request.subscription} stays")
        return
    how = AfterRefund(request.after).label.lower()
    if operation is None:
        yield Step(name, LATER if is_open(request) else SKIPPED, how)
    elif operation.state == OperationState.FAILED:
        yield Step(name, BAD, operation.error)
    else:
        yield Step(name, DONE if operation.state == OperationState.DONE else NOW, how)


def _access_step(request: RefundRequest) -> Step:
    name = "Access and keys"
    if request.state == RequestState.DONE:
        ended = request.access_ended_at
        said = f"ended {_minute(ended)}" if ended else "stay as they are"
        return Step(name, DONE, f"{said}. {request.problem}".strip())
    if not is_open(request):
        return Step(name, SKIPPED, "as they were")
    moved = request.refund is not None and request.refund.status != RefundStatus.WANTED
    purchase = paid_for(request.payment).purchase
    what = "end with the purchase" if purchase and request.ends_access else "follow what is paid"
    return Step(
        name, NOW if moved else LATER, f"{what}. {request.problem if moved else ''}".strip()
    )


def _minute(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else ""
