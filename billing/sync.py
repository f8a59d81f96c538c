"""The one way by which Stripe's state becomes ours.

Webhooks, the return page, the sweepers, staff and reconciliation all call `sync_customer`. It
takes the customer's lock, reads Stripe, and writes everything that follows in one transaction,
so order, number and loss of events do not matter.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from django.db import transaction

from billing import (
    access,
    changes,
    credit_notes,
    disputes,
    duplicates,
    gateway,
    mirror,
    projections,
    shapes,
    snapshot,
)
from billing.customers import adopt_holder, find_holder
from billing.cycles import hand_down_cycle
from billing.disputes import Losses
from billing.dunning.course import follow_courses, hold_courses, unpaid_of
from billing.dunning.language import spoken
from billing.duplicates import Bought
from billing.erase_rows import veil_events
from billing.gateway import Recording
from billing.grace import grace_of, unpaid_since
from billing.locks import HeldLock, customer_lock
from billing.market.ledger import follow_money
from billing.models import (
    Payment,
    Price,
    Purchase,
    PurchaseState,
    StripeCustomer,
    Subscription,
)
from billing.personal import veil
from billing.promotions import redeemed
from billing.provision import Sale, provision
from billing.shapes import SubscriptionFacts
from billing.snapshot import Snapshot, Touched
from entitlements.models import GrantSource
from entitlements.services import WantedGrant, set_source_grants
from keystore.locking import retried
from keystore.models import Consumer

logger = logging.getLogger(__name__)

MIRROR_ROUNDS = 6  # each round reads one more generation of parents
ACTOR = "stripe"


class NotOurs(Exception):
    """Nothing to do: the customer belongs to nobody here, or Stripe does not know it."""


@dataclass
class SyncReport:
    """What a sync found and changed."""

    consumer: Consumer
    changed_grants: list[str] = field(default_factory=list)
    changed_rows: list[str] = field(default_factory=list)
    mirror_problems: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    customer_deleted: bool = False

    def summary(self) -> str:
        said = [f"synced {self.consumer}"]
        if self.customer_deleted:
            said.append("the customer was deleted at Stripe")
        if self.changed_grants:
            said.append("access changed by " + ", ".join(self.changed_grants))
        if self.gone:
            said.append("not at Stripe: " + ", ".join(self.gone))
        if self.mirror_problems:
            said.append("not mirrored: " + "; ".join(self.mirror_problems))
        return "; ".join(said)


def sync_customer(
    *,
    stripe_customer_id: str,
    clock: Callable[[], datetime],
    touched: Iterable[Touched] = (),
    full: bool = False,
    also: Callable[[SyncReport], None] | None = None,
) -> SyncReport:
    """Make our state equal Stripe's for one customer.

    `clock` is read after Stripe has answered, for access is decided at that moment. `also` runs
    in the same transaction (the inbox marks its events done there). Raises NotOurs,
    CustomerBusy, StripeUnavailable; then nothing was changed.
    """
    with customer_lock(stripe_customer_id) as lock:
        holder = find_holder(stripe_customer_id=stripe_customer_id)
        touched = [*touched, *unpaid_of(holder)]
        taken = _read(stripe_customer_id, holder, touched, full=full)
        recording = _recording_of(taken)
        for _ in range(MIRROR_ROUNDS):
            report = retried(partial(_write, taken, recording, lock, clock(), also))
            if report is not None:
                return report
            recording.fill()
        raise gateway.StripeUnavailable(f"The mirror of {stripe_customer_id} does not close.")


def rehearse_sync(
    *,
    stripe_customer_id: str,
    clock: Callable[[], datetime],
    touched: Iterable[Touched] = (),
    compare: Callable[[Consumer], Callable[[], list[str]]],
) -> list[str]:
    """What a sync would change now: Stripe is read first and without any lock, then everything
    but the mirror is written in one short transaction that is rolled back.

    `compare` is called with the consumer before anything is written; what it returns is called
    afterwards and says what became different. Raises NotOurs, StripeUnavailable.
    """
    gateway.refuse_inside_transaction()
    holder = find_holder(stripe_customer_id=stripe_customer_id)
    taken = _read(stripe_customer_id, holder, [*touched, *unpaid_of(holder)], full=False)
    with transaction.atomic():
        holder = _holder(taken)
        differences = compare(holder.consumer)
        report = SyncReport(consumer=holder.consumer, gone=taken.gone)
        _project(taken, holder, report, clock())
        said = differences()
        transaction.set_rollback(True)
    if report.customer_deleted:
        said.append("The customer was deleted at Stripe.")
    return [*said, *(f"{gone} is not at Stripe any more." for gone in report.gone)]


def _read(
    stripe_customer_id: str,
    holder: StripeCustomer | None,
    touched: Iterable[Touched],
    *,
    full: bool,
) -> Snapshot:
    known = Subscription.objects.exclude(status__in=access.ENDED).filter(
        consumer=holder.consumer if holder else None
    )
    known_ids = list(known.values_list("stripe_subscription_id", flat=True))
    refunded = Payment.objects.filter(consumer=holder.consumer if holder else None)
    refunded = refunded.filter(refunded_minor__gt=0)
    try:
        return snapshot.take(
            stripe_customer_id=stripe_customer_id,
            touched=touched,
            known_subscription_ids=known_ids,
            known_refunded_ids=refunded.values_list("stripe_charge_id", flat=True),
            full=full,
        )
    except gateway.StripeMissing as missing:
        raise NotOurs(f"Stripe has no customer {stripe_customer_id}") from missing


def _recording_of(taken: Snapshot) -> Recording:
    recording = Recording()
    customer = taken.customer
    recording.objects[f"/v1/customers/{customer['id']}"] = customer
    for found in taken.objects.values():
        path = snapshot.PATHS.get(found["object"])
        if path:
            recording.objects[path.format(found["id"])] = found
    if not mirror.has_account():
        recording.objects["account"] = gateway.read("/v1/account")
    recording.read_ahead(mirror.parents_lacking([customer, *taken.objects.values()]))
    return recording


def _forget_person(taken: Snapshot, recording: Recording, since: datetime) -> None:
    """Of somebody who was erased nothing is written again that says who they were."""
    veil_events(customer_ids=[taken.customer["id"]], since=since)
    taken.customer = veil(taken.customer)
    taken.objects = {name: veil(found) for name, found in taken.objects.items()}
    recording.objects = {path: veil(found) for path, found in recording.objects.items()}


class _MirrorIncomplete(Exception):
    """dj-stripe asked for an object that was not read: roll back, read it, write again."""


def _write(
    taken: Snapshot,
    recording: Recording,
    lock: HeldLock,
    at: datetime,
    also: Callable[[SyncReport], None] | None,
) -> SyncReport | None:
    """Everything in one transaction; None when the mirror lacked an object."""
    try:
        with transaction.atomic():
            lock.require()
            holder = _holder(taken)
            report = SyncReport(consumer=holder.consumer, gone=taken.gone)
            if holder.consumer.erased_at is not None:
                _forget_person(taken, recording, holder.consumer.erased_at)
            report.mirror_problems = _mirror(taken, recording)
            _project(taken, holder, report, at)
            if also is not None:
                also(report)
            return report
    except _MirrorIncomplete:
        return None


def _holder(taken: Snapshot) -> StripeCustomer:
    holder = find_holder(stripe_customer_id=taken.customer["id"])
    if holder is None and not taken.customer.get("deleted"):
        holder = adopt_holder(found=taken.customer)
    if holder is None:
        raise NotOurs(f"customer {taken.customer['id']} belongs to no consumer here")
    return holder


def _mirror(taken: Snapshot, recording: Recording) -> list[str]:
    account = recording.objects.get("account")
    objects = [taken.customer, *taken.objects.values()]
    problems = mirror.write([account, *objects] if account else objects, recording)
    if recording.missing:
        raise _MirrorIncomplete
    return problems


def _project(taken: Snapshot, holder: StripeCustomer, report: SyncReport, at: datetime) -> None:
    hold_courses(holder.consumer)
    before = changes.columns_of(taken, holder.consumer)
    _project_customer(taken, holder, report, at)
    _project_money(taken, holder, at)
    bought = [_bought(found, holder) for found in taken.of("subscription")]
    doubled = duplicates.doubled(bought)
    losses = disputes.losses_of(Payment.objects.filter(consumer=holder.consumer_id))
    for facts, prices in bought:
        window = _window(facts, holder, losses, doubled)
        _follow_subscription(facts, prices, holder, window, taken, report, at)
        projections.project_direct_checkout(facts=facts, holder=holder, at=at)
        if facts.stripe_subscription_id in doubled:
            duplicates.undo(holder=holder, facts=facts, at=at)
    kept = [one for one in bought if one[0].stripe_subscription_id not in doubled]
    hand_down_cycle(consumer=holder.consumer, bought=kept, grace=grace_of(holder.project), at=at)
    for session in taken.of("checkout.session"):
        checkout = projections.project_checkout(session=session, at=at)
        if checkout is not None:
            projections.project_purchase(checkout=checkout, session=session, at=at)
    _follow_purchases(taken, holder, losses, report, at)
    follow_money(taken=taken, holder=holder, at=at)
    follow_courses(consumer=holder.consumer, at=at)
    report.changed_rows = changes.record_changes(
        before=before,
        after=changes.columns_of(taken, holder.consumer),
        consumer=holder.consumer,
        actor=ACTOR,
        at=at,
    )


def _project_money(taken: Snapshot, holder: StripeCustomer, at: datetime) -> None:
    refunds = taken.of("refund")
    for found in taken.of("charge"):
        payment = projections.project_payment(found=found, holder=holder, at=at)
        of_charge = [refund for refund in refunds if shapes.ref(refund["charge"]) == found["id"]]
        projections.project_refunds(payment=payment, found=of_charge, at=at)
    for found in taken.of("invoice"):
        projections.project_invoice(found=found, holder=holder, at=at)
    for found in taken.of("dispute"):
        disputes.project_dispute(found=found, holder=holder, at=at)
    for found in taken.of("credit_note"):
        credit_notes.project_credit_note(found=found, holder=holder, at=at)


def _project_customer(
    taken: Snapshot, holder: StripeCustomer, report: SyncReport, at: datetime
) -> None:
    found = taken.customer
    report.customer_deleted = bool(found.get("deleted"))
    address = found.get("address") or {}
    changes = {
        "synced_at": at,
        "currency": found.get("currency") or holder.currency,
        "country": (address.get("country") or "")[:2].upper(),
        "language": spoken(found.get("preferred_locales") or []),
    }
    if report.customer_deleted and holder.deleted_at is None:
        changes["deleted_at"] = at
    StripeCustomer.objects.filter(pk=holder.pk).update(**changes)
    email = found.get("email") or ""
    if email and not holder.consumer.email and holder.consumer.erased_at is None:
        Consumer.objects.filter(pk=holder.consumer_id, email="").update(email=email)
        holder.consumer.email = email


def _bought(found: gateway.Object, holder: StripeCustomer) -> Bought:
    facts = shapes.subscription(found)
    if facts.status in access.UNPAID_IN_GRACE:
        since = unpaid_since(stripe_subscription_id=facts.stripe_subscription_id)
        facts = replace(facts, unpaid_since=since)
    return facts, projections.prices_of(facts, holder)


def _window(
    facts: SubscriptionFacts, holder: StripeCustomer, losses: Losses, doubled: set[str]
) -> access.Window | None:
    return access.subscription_window(
        facts,
        grace=grace_of(holder.project),
        lost_at=losses.by_subscription.get(facts.stripe_subscription_id),
        doubled=facts.stripe_subscription_id in doubled,
    )


def _follow_subscription(
    facts: SubscriptionFacts,
    prices: list[Price],
    holder: StripeCustomer,
    window: access.Window | None,
    taken: Snapshot,
    report: SyncReport,
    at: datetime,
) -> None:
    projections.project_subscription(
        facts=facts,
        holder=holder,
        prices=prices,
        discounts=redeemed.project_discounts(facts=facts, holder=holder, taken=taken, at=at),
        upcoming=redeemed.upcoming_told(taken.upcoming.get(facts.stripe_subscription_id)),
        at=at,
    )
    plans = {price.plan_id: price.plan for price in prices}  # a plan may have several of them
    wanted = [WantedGrant(plan, *window) for plan in plans.values()] if window else []
    source = GrantSource.TRIAL if facts.status == "trialing" else GrantSource.SUBSCRIPTION
    _grant(holder, source, facts.stripe_subscription_id, wanted, report, at)
    if prices:
        sale = Sale(holder.consumer, facts.stripe_subscription_id, prices[0], holder.consumer.email)
        provision(sale=sale, window=window, ended=facts.status in access.ENDED, at=at)


def _follow_purchases(
    taken: Snapshot, holder: StripeCustomer, losses: Losses, report: SyncReport, at: datetime
) -> None:
    """Purchases whose money was read: a full refund or a lost dispute ends what they opened."""
    intents = {shapes.ref(found["payment_intent"]) for found in taken.of("charge")}
    sessions = [found["id"] for found in taken.of("checkout.session")]
    bought = Purchase.objects.select_related("price__plan__api", "checkout")
    bought = bought.filter(consumer=holder.consumer_id)
    touched = bought.filter(stripe_payment_intent_id__in=intents - {""})
    for purchase in touched | bought.filter(checkout__stripe_session_id__in=sessions):
        state = projections.project_purchase_state(purchase=purchase, at=at)
        window = access.purchase_window(
            bought_at=purchase.created_at,
            refunded=state == PurchaseState.REFUNDED,
            ended_by_staff=purchase.access_ended_at is not None,
            lost=(purchase.project_id, purchase.stripe_payment_intent_id) in losses.intents,
        )
        wanted = [WantedGrant(purchase.price.plan, *window)] if window else []
        source_ref = purchase.stripe_payment_intent_id or purchase.public_id
        _grant(holder, GrantSource.PURCHASE, source_ref, wanted, report, at)
        sale = Sale(
            holder.consumer,
            source_ref,
            purchase.price,
            holder.consumer.email,
            source_name="payment_intent_id",
        )
        # Suspended, not revoked: a refund may still fail, and then the sale stands again.
        provision(sale=sale, window=window, ended=False, at=at)


def _grant(
    holder: StripeCustomer,
    source: GrantSource,
    source_ref: str,
    wanted: list[WantedGrant],
    report: SyncReport,
    at: datetime,
) -> None:
    changed = set_source_grants(
        consumer=holder.consumer,
        source=source,
        source_ref=source_ref,
        wanted=wanted,
        reason="" if wanted else f"{source_ref} gives no access any more",
        actor=ACTOR,
        at=at,
    )
    if changed:
        report.changed_grants.append(source_ref)
