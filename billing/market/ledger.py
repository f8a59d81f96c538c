"""The ledger of earnings: written in the transaction in which a sync records the money.

A payment is written as its sale once. What refunds and disputes take back is counted by source:
for each, the difference between what it takes now and what was written of it becomes a line, so
that the lines of a payment always sum to its sale less what is taken back, to the cent.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from billing.market.sales import Line, lines_of
from billing.market.split import Parts, part_of, sale_parts, shares, taken_back
from billing.market.terms import commission_at, creator_bears_fee
from billing.models import (
    ApiListing,
    Dispute,
    Earning,
    EarningKind,
    Payment,
    Price,
    Refund,
    RefundStatus,
    StripeCustomer,
)
from billing.snapshot import Snapshot

TAKING_REFUNDS = (RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION, RefundStatus.SUCCEEDED)
TAKING_DISPUTES = ("needs_response", "under_review", "lost")  # inquiries take nothing
OF_SALE = (EarningKind.SALE, EarningKind.STRIPE_FEE)


def follow_money(*, taken: Snapshot, holder: StripeCustomer, at: datetime) -> None:
    """Write what the payments that were read mean for the creators whose APIs were sold."""
    charges = [found["id"] for found in taken.of("charge")]
    if not charges or not _has_market(holder):
        return
    paid = Payment.objects.select_for_update(of=("self",), no_key=True).select_related("project")
    paid = paid.filter(stripe_charge_id__in=charges, status="succeeded", captured_minor__gt=0)
    for payment in paid.order_by("pk"):
        if not payment.earnings.exists():
            lines = lines_of(payment=payment, taken=taken)
            if lines:
                _write_sale(payment, lines, at)
        _write_late_fee(payment, at)
        _write_takings(payment, at)


def _has_market(holder: StripeCustomer) -> bool:
    return ApiListing.objects.filter(api__project=holder.project_id).exists()


# --- Sales ---------------------------------------------------------------------------------------


def _write_sale(payment: Payment, lines: list[Line], at: datetime) -> None:
    prices = _listed_prices(payment, lines)
    if not prices:
        return
    fees = _fees(payment, [line.total_minor for line in lines])
    awaits_fee = payment.fee_minor is None and creator_bears_fee(payment.project)
    rows = []
    for line, fee in zip(lines, fees, strict=True):
        price = prices.get(line.stripe_price_id)
        if price is None:
            continue
        api = price.plan.api
        assert api is not None  # only listed ones are here
        listing = api.listing
        points = commission_at(listing=listing, at=payment.created_at)
        parts = sale_parts(
            gross=line.total_minor, tax=line.tax_minor, basis_points=points, stripe_fee=fee
        )
        entry = _Entry(EarningKind.SALE, payment.stripe_charge_id, 0, payment.created_at)
        row = _row(payment, price, parts, entry, at)
        row.awaits_fee = awaits_fee
        if line.period is not None:
            row.period_start, row.period_end = line.period.start, line.period.end
        rows.append(row)
    Earning.objects.bulk_create(rows)


def _listed_prices(payment: Payment, lines: Iterable[Line]) -> dict[str, Price]:
    """Those that belonged to a creator's API when they were paid."""
    found = Price.objects.select_related("plan__api__listing__creator").filter(
        project=payment.project_id,
        stripe_price_id__in=[line.stripe_price_id for line in lines],
        plan__api__listing__created_at__lte=payment.created_at,
    )
    return {price.stripe_price_id: price for price in found}


def _fees(payment: Payment, totals: list[int]) -> list[int]:
    """Stripe's fee by line, as far as creators bear it: only in the currency of the payment."""
    fee = payment.fee_minor if payment.fee_currency == payment.currency else None
    if not fee or not creator_bears_fee(payment.project):
        return [0] * len(totals)
    return shares(fee, totals)


def _write_late_fee(payment: Payment, at: datetime) -> None:
    """Stripe tells its fee after the payment at times: then it is a line of its own, once."""
    rows = list(payment.earnings.filter(kind__in=OF_SALE).select_related("price"))
    is_told = any(row.kind == EarningKind.STRIPE_FEE for row in rows)
    if is_told or not any(row.awaits_fee for row in rows):
        return
    grosses = [row.gross_minor for row in rows]
    fees = _fees(payment, [*grosses, payment.captured_minor - sum(grosses)])[:-1]
    source = f"{payment.stripe_charge_id}:fee"
    taken = min(_taken(payment), payment.captured_minor)
    for row, fee in zip(rows, fees, strict=True):
        if fee:
            parts = Parts(stripe_fee_minor=fee)
            entry = _Entry(EarningKind.STRIPE_FEE, source, 0, at)
            _row(payment, row.price, parts, entry, at, like=row).save()
            back = -taken_back(parts, taken, payment.captured_minor)
            if back != Parts():
                entry = _Entry(EarningKind.REFUND, source, 1, at)
                _row(payment, row.price, back, entry, at, like=row).save()


# --- What goes back ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taking:
    """A refund or dispute, and how much of the payment it takes now."""

    source: str
    amount_minor: int
    at: datetime
    takes: EarningKind
    gives_back: EarningKind


def _takings(payment: Payment) -> list[Taking]:
    refunds = Refund.objects.filter(payment=payment).exclude(stripe_refund_id="")
    disputes = Dispute.objects.filter(payment=payment)
    return [
        *(_of_refund(row) for row in refunds.order_by("created_at", "pk")),
        *(_of_dispute(row, payment) for row in disputes.order_by("created_at", "pk")),
    ]


def _of_refund(row: Refund) -> Taking:
    amount = row.amount_minor if row.status in TAKING_REFUNDS else 0
    kinds = (EarningKind.REFUND, EarningKind.REFUND_FAILED)
    return Taking(row.stripe_refund_id, amount, row.created_at, *kinds)


def _of_dispute(row: Dispute, payment: Payment) -> Taking:
    # A bank that counts in another currency takes the whole of it.
    same = row.currency == payment.currency
    amount = row.amount_minor if same else payment.captured_minor
    taken = amount if row.status in TAKING_DISPUTES else 0
    kinds = (EarningKind.DISPUTE, EarningKind.DISPUTE_WON)
    return Taking(row.stripe_dispute_id, taken, row.created_at, *kinds)


def _write_takings(payment: Payment, at: datetime) -> None:
    rows = list(payment.earnings.select_related("price").order_by("pk"))
    if not rows:
        return
    state = _State(payment, rows)
    for taking in _takings(payment):
        more = taking.amount_minor - state.taken_by(taking.source)
        if more:
            kind = taking.takes if more > 0 else taking.gives_back
            when = taking.at if more > 0 else at
            state.take(_Entry(kind, taking.source, state.steps(taking.source), when), more, at)


def _taken(payment: Payment) -> int:
    return _State(payment, list(payment.earnings.select_related("price"))).taken


class _State:
    """The lines of one payment: what was sold, what was taken back, and what each still is."""

    def __init__(self, payment: Payment, rows: list[Earning]) -> None:
        self.payment = payment
        self.rows = rows
        self.first: dict[int, Earning] = {}
        self.sold: dict[int, Parts] = defaultdict(Parts)
        self.written: dict[int, Parts] = defaultdict(Parts)
        for row in rows:
            price = row.price_id or 0
            self.first.setdefault(price, row)
            self.written[price] += _parts(row)
            if row.kind in OF_SALE:
                self.sold[price] += _parts(row)

    def _of_one_price(self) -> list[Earning]:
        """Each line is written for every price alike: one of them tells how much was taken."""
        one = next(iter(self.first))
        return [row for row in self.rows if row.price_id == one]

    @property
    def taken(self) -> int:
        return sum(row.taken_minor for row in self._of_one_price())

    def taken_by(self, source: str) -> int:
        return sum(row.taken_minor for row in self._of_one_price() if row.source == source)

    def steps(self, source: str) -> int:
        return sum(1 for row in self._of_one_price() if row.source == source)

    def take(self, entry: "_Entry", more: int, at: datetime) -> None:
        """One line per price: what it should be now, less what it was."""
        wanted = self._wanted(self.taken + more)
        rows = []
        for price, sale in self.first.items():
            parts = wanted[price] - self.written[price]
            assert sale.price is not None
            row = _row(self.payment, sale.price, parts, entry, at, like=sale)
            row.taken_minor = more
            rows.append(row)
            self.written[price] = wanted[price]
        Earning.objects.bulk_create(rows)
        self.rows += rows

    def _wanted(self, taken: int) -> dict[int, Parts]:
        """What should stand when so much was taken back; nothing when it was all."""
        captured = self.payment.captured_minor
        taken = min(max(taken, 0), captured)
        grosses = [parts.gross_minor for parts in self.sold.values()]
        # The platform's own part of the payment takes its part of the refund.
        gone = shares(taken, [*grosses, captured - sum(grosses)])
        return {
            price: Parts(
                gross_minor=sold.gross_minor - back,
                tax_minor=sold.tax_minor - part_of(sold.tax_minor, taken, captured),
                commission_minor=sold.commission_minor
                - part_of(sold.commission_minor, taken, captured),
                stripe_fee_minor=sold.stripe_fee_minor
                - part_of(sold.stripe_fee_minor, taken, captured),
            )
            for (price, sold), back in zip(self.sold.items(), gone[:-1], strict=True)
        }


def _parts(row: Earning) -> Parts:
    return Parts(row.gross_minor, row.tax_minor, row.commission_minor, row.stripe_fee_minor)


# --- Rows ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    kind: EarningKind
    source: str
    step: int
    at: datetime


def _row(
    payment: Payment,
    price: Price | None,
    parts: Parts,
    entry: _Entry,
    at: datetime,
    *,
    like: Earning | None = None,
) -> Earning:
    """A line for the creator of the price's API, or the same one as of `like`."""
    assert price is not None
    api = price.plan.api
    assert api is not None  # only prices of a listed API come here
    creator = like.creator_id if like else api.listing.creator_id
    return Earning(
        project_id=payment.project_id,
        creator_id=creator,
        kind=entry.kind,
        currency=payment.currency,
        amount_minor=parts.net_minor,
        **asdict(parts),
        api_id=like.api_id if like else price.plan.api_id,
        price=price,
        consumer_id=payment.consumer_id,
        payment=payment,
        source=entry.source,
        step=entry.step,
        occurred_at=entry.at,
        created_at=at,
    )
