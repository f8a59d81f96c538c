"""Paying a creator out: off the balance, to their Stripe account, to their bank.

Each step is an operation, and the state of the payout says which one is under way. What Stripe or
the bank refuses comes back: a transfer that arrived is reversed first, then the balance has it.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import IntegrityError, transaction

from billing import gateway
from billing.gateway import Object
from billing.market.balances import balance_of, payable_of
from billing.market.news import tell_of_payout
from billing.models import (
    Creator,
    CreatorState,
    Earning,
    EarningKind,
    Operation,
    OperationKind,
    Payout,
    PayoutState,
)
from billing.models.market import OPEN_PAYOUTS
from billing.models.operations import OPEN_STATES
from billing.money import shown
from billing.operations import want
from config.errors import Conflict
from keystore import audit
from keystore.doorbell import ring
from keystore.ids import new_id

Clock = Callable[[], datetime]
TASK = "billing.tasks.settle_operations"
TOLD = ("project", "creator__consumer", "creator__project")  # what hooks say of a payout


class CannotPayOut(Conflict):
    code = "payout_not_possible"


class PayoutUnderWay(Conflict):
    code = "payout_under_way"


@transaction.atomic
def want_payout(
    *,
    creator: Creator,
    currency: str,
    actor: str,
    at: datetime,
    period: str = "",
    reason: str = "",
    expected_minor: int | None = None,
) -> Payout:
    """Take all that can be paid off the balance and write the transfer down; its operation is run
    after the commit.

    `expected_minor`: what was previewed. Raises CannotPayOut, PayoutUnderWay; then nothing was
    changed.
    """
    locked = Creator.objects.select_for_update(of=("self",), no_key=True).get(pk=creator.pk)
    amount = _amount(locked, currency, expected_minor)
    public_id = new_id("pyo")
    payout = _insert(
        public_id=public_id,
        project_id=creator.project_id,
        creator=creator,
        currency=currency,
        amount_minor=amount,
        period=period,
        operation=_want_transfer(locked, public_id, amount, currency, actor, at),
        looked_at=at,
        created_at=at,
    )
    _enter(payout, EarningKind.PAYOUT, -amount, at)
    _record(payout, actor, reason, at)
    transaction.on_commit(partial(ring, TASK))
    return payout


def _want_transfer(
    creator: Creator, public_id: str, amount: int, currency: str, actor: str, at: datetime
) -> Operation:
    return want(
        project=creator.project,
        kind=OperationKind.TRANSFER,
        path="/v1/transfers",
        params={
            "amount": amount,
            "currency": currency,
            "destination": creator.stripe_account_id,
            "transfer_group": public_id,
            "metadata": {"latchkey_payout": public_id},
        },
        subject=public_id,
        actor=actor,
        at=at,
    )


def _amount(creator: Creator, currency: str, expected_minor: int | None) -> int:
    refusal = refusal_of(creator)
    if refusal:
        raise CannotPayOut(refusal)
    open_ones = Payout.objects.filter(creator=creator, currency=currency, state__in=OPEN_PAYOUTS)
    if open_ones.exists():
        raise _under_way(currency)
    balance = balance_of(creator, currency)
    amount = payable_of(balance, currency)
    if amount <= 0:
        raise CannotPayOut(f"The balance is {shown(balance, currency)}: nothing to pay out.")
    if expected_minor is not None and amount != expected_minor:
        raise CannotPayOut(f"The balance has changed: now {shown(amount, currency)} would be paid.")
    return amount


def refusal_of(creator: Creator) -> str:
    """Why nothing can be paid to them at present; "" if it can."""
    if creator.payouts_paused_at is not None:
        return "Payouts to this creator are paused."
    if creator.state != CreatorState.ACTIVE or not creator.payouts_enabled:
        return f"Stripe pays nothing into this account: the creator is {creator.state}."
    return ""


def _under_way(currency: str) -> PayoutUnderWay:
    return PayoutUnderWay(f"A payout in {currency.upper()} is under way: wait for its end.")


def _insert(**columns: object) -> Payout:
    try:
        with transaction.atomic():
            return Payout.objects.create(**columns)
    except IntegrityError as twin:
        if "payout_o" not in str(twin):
            raise
        raise _under_way(str(columns["currency"])) from twin


def _enter(payout: Payout, kind: EarningKind, amount_minor: int, at: datetime) -> None:
    """A payout's own lines: taken off once, given back each time that it came back."""
    step = Earning.objects.filter(source=payout.public_id).count()
    Earning.objects.create(
        project_id=payout.project_id,
        creator_id=payout.creator_id,
        kind=kind,
        currency=payout.currency,
        amount_minor=amount_minor,
        payout=payout,
        source=payout.public_id,
        step=step,
        reason=payout.problem,
        occurred_at=at,
        created_at=at,
    )


def _record(payout: Payout, actor: str, reason: str, at: datetime) -> None:
    audit.record(
        actor=actor,
        act="payout.want",
        target=payout,
        project=payout.project,
        consumer=payout.creator.consumer,
        after={"amount_minor": payout.amount_minor, "currency": payout.currency},
        reason=reason,
        at=at,
    )


def _of(operation: Operation) -> Payout:
    rows = Payout.objects.select_for_update(of=("self",), no_key=True).select_related(
        "project", "creator__consumer", "creator__project"
    )
    return rows.get(public_id=operation.subject)


def _ended_at(operation: Operation) -> datetime:
    return operation.finished_at or operation.created_at


def _move(payout: Payout, at: datetime, **columns: object) -> None:
    names = [*columns, "looked_at", "finished_at"]
    for name, value in columns.items():
        setattr(payout, name, value)
    payout.looked_at = at
    payout.finished_at = None if payout.state in OPEN_PAYOUTS else at
    payout.save(update_fields=names)


# --- The transfer --------------------------------------------------------------------------------


def settle_transfer(operation: Operation, found: Object) -> None:
    """It is in the creator's Stripe account; now it goes on to their bank."""
    payout, at = _of(operation), _ended_at(operation)
    if payout.state == PayoutState.WANTED:
        _move(payout, at, state=PayoutState.TRANSFERRED, stripe_transfer_id=found["id"])
        _want_bank(payout, at)


def fail_transfer(operation: Operation, problem: str) -> None:
    """Stripe refused it: nothing moved, and the balance has it again."""
    payout, at = _of(operation), _ended_at(operation)
    if payout.state == PayoutState.WANTED:
        _move(payout, at, state=PayoutState.FAILED, problem=problem)
        _enter(payout, EarningKind.PAYOUT_FAILED, payout.amount_minor, at)
        tell_of_payout(payout=payout, at=at)


def _want_bank(payout: Payout, at: datetime) -> None:
    want(
        project=payout.project,
        kind=OperationKind.PAY_OUT,
        path="/v1/payouts",
        params={
            "amount": payout.amount_minor,
            "currency": payout.currency,
            "metadata": {"latchkey_payout": payout.public_id},
        },
        subject=payout.public_id,
        stripe_account=payout.creator.stripe_account_id,
        actor="system",
        at=at,
    )
    transaction.on_commit(partial(ring, TASK))


# --- To the bank ---------------------------------------------------------------------------------


def settle_bank(operation: Operation, found: Object) -> None:
    payout, at = _of(operation), _ended_at(operation)
    if payout.state == PayoutState.TRANSFERRED:
        _move(payout, at, state=PayoutState.PAYING, stripe_payout_id=found["id"])


def fail_bank(operation: Operation, problem: str) -> None:
    """Refused before it left the account, which may have been disabled meanwhile."""
    payout, at = _of(operation), _ended_at(operation)
    if payout.state == PayoutState.TRANSFERRED:
        _begin_return(payout, problem, at)


def follow_payout(*, payout: Payout, clock: Clock) -> None:
    """Read how it went at the bank. Raises StripeUnavailable, PayoutUnderWay."""
    account = payout.creator.stripe_account_id
    found = gateway.read(f"/v1/payouts/{payout.stripe_payout_id}", account=account)
    write_payout(payout=payout, found=found, at=clock())


@transaction.atomic
def write_payout(*, payout: Payout, found: Object, at: datetime) -> None:
    """A bank may refuse days after Stripe called the payout paid: then it comes back, too."""
    rows = Payout.objects.select_for_update(of=("self",), no_key=True).select_related(
        "project", "creator__consumer", "creator__project"
    )
    row = rows.get(pk=payout.pk)
    status = found["status"]
    if status == "paid" and row.state == PayoutState.PAYING:
        _move(row, at, state=PayoutState.PAID)
        tell_of_payout(payout=row, at=at)
    elif status in ("failed", "canceled") and row.state in (PayoutState.PAYING, PayoutState.PAID):
        _begin_return(row, found.get("failure_message") or f"the payout is {status}", at)
    elif row.state == PayoutState.PAYING:
        _move(row, at)


# --- Back ----------------------------------------------------------------------------------------


def _begin_return(payout: Payout, problem: str, at: datetime) -> None:
    try:
        with transaction.atomic():
            _move(payout, at, state=PayoutState.RETURNING, problem=problem)
    except IntegrityError as twin:
        if "payout_one_open" not in str(twin):
            raise
        raise _under_way(payout.currency) from twin
    tell_of_payout(payout=payout, at=at)
    want_return(payout=payout, at=at)


def want_return(*, payout: Payout, at: datetime) -> None:
    """Take the transfer back from the creator's account."""
    under_way = Operation.objects.filter(
        kind=OperationKind.REVERSE_TRANSFER, subject=payout.public_id, state__in=OPEN_STATES
    )
    if under_way.exists():
        return
    want(
        project=payout.project,
        kind=OperationKind.REVERSE_TRANSFER,
        path=f"/v1/transfers/{payout.stripe_transfer_id}/reversals",
        params={"amount": payout.amount_minor},
        subject=payout.public_id,
        actor="system",
        at=at,
    )
    transaction.on_commit(partial(ring, TASK))


def settle_return(operation: Operation, found: Object) -> None:
    payout, at = _of(operation), _ended_at(operation)
    if payout.state == PayoutState.RETURNING:
        _move(payout, at, state=PayoutState.RETURNED)
        _enter(payout, EarningKind.PAYOUT_FAILED, payout.amount_minor, at)


def fail_return(operation: Operation, problem: str) -> None:
    """The account does not have it (yet): it is tried again, and a promise tells of it."""
    payout, at = _of(operation), _ended_at(operation)
    if payout.state == PayoutState.RETURNING:
        _move(payout, at, problem=problem)


def find_return(operation: Operation) -> Object | None:
    for found in gateway.read_all(operation.path):
        if (found.get("metadata") or {}).get("operation_id") == operation.public_id:
            return found
    return None
