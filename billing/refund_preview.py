"""What will follow from a refund, told before the click: money, tax, access, keys, unused time.

Pure reading. The rules are those of design and docs: a full refund of a one-off purchase ends
what it opened, a partial one keeps it unless staff end it; a subscription stays until somebody
cancels it.
"""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User

from billing import refund_blocks
from billing.models import AfterRefund, Invoice, Payment, Purchase, Subscription
from billing.money import shown
from billing.provision import slot_of
from billing.refund_budgets import Room, room_of
from entitlements.facts import facts_of
from entitlements.models import Grant
from entitlements.resolve import Entitlement, resolve
from keystore.models import ApiKey


@dataclass(frozen=True)
class PaidFor:
    """What the money bought; all None for a payment that was made outside of our checkouts."""

    purchase: Purchase | None
    subscription: Subscription | None
    invoice: Invoice | None

    @property
    def source_ref(self) -> str:
        """The name under which its grants and its key are kept."""
        if self.purchase is not None:
            return self.purchase.stripe_payment_intent_id or self.purchase.public_id
        return self.subscription.stripe_subscription_id if self.subscription else ""


@dataclass(frozen=True)
class Unused:
    """What of the paid period lies ahead."""

    days_left: int
    days: int
    amount_minor: int


@dataclass(frozen=True)
class RefundPreview:
    """`access_ends_at` None: access stays. `budget_left_minor` None: no cap applies."""

    payment: Payment
    paid_for: PaidFor
    amount_minor: int
    left_minor: int
    left_after_minor: int
    tax_minor: int
    is_full: bool
    plan: str
    grants: tuple[Grant, ...]
    features_lost: tuple[str, ...]
    features_kept: tuple[str, ...]
    access_ends_at: datetime | None
    keys: tuple[ApiKey, ...]
    keys_are_revoked: bool
    unused: Unused | None
    approval_reason: str
    budget_role: str
    budget_left_minor: int | None
    blocks: tuple[str, ...]

    @property
    def currency(self) -> str:
        return self.payment.currency


def paid_for(payment: Payment) -> PaidFor:
    intent, invoice_id = payment.stripe_payment_intent_id, payment.stripe_invoice_id
    own = {"project": payment.project_id, "consumer": payment.consumer_id}
    purchases = Purchase.objects.filter(stripe_payment_intent_id=intent, **own)
    invoices = Invoice.objects.filter(stripe_invoice_id=invoice_id, **own)
    purchase = purchases.select_related("price__plan").first() if intent else None
    invoice = invoices.first() if invoice_id else None
    subscription_id = invoice.stripe_subscription_id if invoice else ""
    subscriptions = Subscription.objects.filter(stripe_subscription_id=subscription_id, **own)
    subscription = subscriptions.select_related("plan").first() if subscription_id else None
    return PaidFor(purchase, subscription, invoice)


def preview_refund(
    *,
    payment: Payment,
    amount_minor: int,
    after: str,
    ends_access: bool,
    at: datetime,
    person: User | None = None,
) -> RefundPreview:
    """What a refund would lead to if it were asked for now. `person` is whose budget it takes;
    None: nobody's. Changes nothing; what stands against it is said in `blocks`.
    """
    bought = paid_for(payment)
    left = refund_blocks.left_minor(payment)
    is_full = amount_minor >= left > 0
    ends_at = _access_ends_at(bought, after, ends_access or is_full, at)
    lost, kept = _features(payment, bought, at)
    room = _room(person, payment, at)
    budget_left = room.left_minor if room else None
    return RefundPreview(
        payment=payment,
        paid_for=bought,
        amount_minor=amount_minor,
        left_minor=left,
        left_after_minor=left - amount_minor,
        tax_minor=tax_share(bought.invoice, amount_minor),
        is_full=is_full,
        plan=_plan(bought),
        grants=tuple(_grants(payment, bought)),
        features_lost=tuple(lost if ends_at else ()),
        features_kept=tuple(kept if ends_at else sorted({*lost, *kept})),
        access_ends_at=ends_at,
        keys=tuple(_keys(payment, bought)) if ends_at else (),
        keys_are_revoked=bought.subscription is not None,
        unused=_unused(bought, payment, at),
        approval_reason=_why_a_second_person(person, payment, amount_minor, at),
        budget_role=str(room.budget.role) if room else "",
        budget_left_minor=budget_left,
        blocks=tuple(_blocks(payment, amount_minor, budget_left)),
    )


def _why_a_second_person(
    person: User | None, payment: Payment, amount_minor: int, at: datetime
) -> str:
    asker = f"staff:{person.get_username()}" if person else ""
    return refund_blocks.approval_reason(
        payment=payment, amount_minor=amount_minor, asker=asker, at=at
    )


def _room(person: User | None, payment: Payment, at: datetime) -> Room | None:
    if person is None:
        return None
    return room_of(person=person, project=payment.project, currency=payment.currency, at=at)


def tax_share(invoice: Invoice | None, amount_minor: int) -> int:
    """The tax within a part of an invoice, rounded half up; 0 where Stripe told no tax."""
    if invoice is None or invoice.total_minor <= 0:
        return 0
    twice = 2 * invoice.tax_minor * amount_minor
    return (twice + invoice.total_minor) // (2 * invoice.total_minor)


def _access_ends_at(
    bought: PaidFor, after: str, ends_purchase: bool, at: datetime
) -> datetime | None:
    if bought.purchase is not None:
        return at if ends_purchase else None
    if bought.subscription is None or after == AfterRefund.KEEP:
        return None
    if after == AfterRefund.CANCEL_NOW:
        return at
    return bought.subscription.current_period_end or at


def _plan(bought: PaidFor) -> str:
    if bought.purchase is not None:
        return str(bought.purchase.price.plan)
    if bought.subscription is not None and bought.subscription.plan is not None:
        return str(bought.subscription.plan)
    return ""


def _grants(payment: Payment, bought: PaidFor) -> list[Grant]:
    if not bought.source_ref:
        return []
    rows = Grant.objects.filter(consumer=payment.consumer_id, source_ref=bought.source_ref)
    return list(rows.filter(revoked_at=None).select_related("plan").order_by("pk"))


def _features(payment: Payment, bought: PaidFor, at: datetime) -> tuple[list[str], list[str]]:
    """What closes without the grants, and what other grants keep open."""
    facts = facts_of(consumer=payment.consumer)
    others = [grant for grant in facts.grants if grant.source_ref != bought.source_ref]
    now_open = _open_codes(resolve(facts.grants, facts.plans, at))
    then_open = _open_codes(resolve(others, facts.plans, at))
    own = [grant for grant in facts.grants if grant.source_ref == bought.source_ref]
    of_these = _open_codes(resolve(own, facts.plans, at))
    return sorted(now_open - then_open), sorted(of_these & then_open)


def _open_codes(entitlements: list[Entitlement]) -> set[str]:
    return {one.feature_code for one in entitlements if one.active}


def _keys(payment: Payment, bought: PaidFor) -> list[ApiKey]:
    if not bought.source_ref:
        return []
    rows = ApiKey.objects.filter(
        consumer=payment.consumer_id, provisioned_for=slot_of(bought.source_ref)
    )
    return list(rows.filter(revoked_at=None, disabled_at=None).order_by("pk"))


def _unused(bought: PaidFor, payment: Payment, at: datetime) -> Unused | None:
    """Only of the period that runs: an earlier one is used up."""
    subscription = bought.subscription
    if subscription is None or not (
        subscription.current_period_start and subscription.current_period_end
    ):
        return None
    begin, end = subscription.current_period_start, subscription.current_period_end
    if not begin <= at < end or payment.created_at < begin:
        return None
    share = (end - at) / (end - begin)
    days = max((end - begin).days, 1)
    return Unused((end - at).days, days, int(payment.captured_minor * share))


def _blocks(payment: Payment, amount_minor: int, budget_left: int | None) -> list[str]:
    found = refund_blocks.blocks_of(payment)
    left = refund_blocks.left_minor(payment)
    if amount_minor <= 0:
        found.append("A refund must be for more than nothing.")
    if amount_minor > left > 0:
        found.append(f"Only {shown(left, payment.currency)} of this payment is left to give back.")
    if budget_left is not None and amount_minor > budget_left:
        rest = shown(max(budget_left, 0), payment.currency)
        found.append(f"Your budget of this month has {rest} left.")
    return found
