"""What staff and apps do to a subscription and its cards: wish, send, and follow at once.

Each act writes its wish and its audit entry in one transaction, sends it, and syncs the customer,
so that access is right when the page returns. When Stripe does not answer, the wish stands: the
janitor looks after it, and the act says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from billing import access, schedules, subscriptions
from billing.cards import Card, card_named, cards_of, want_card_for, want_default_card, want_detach
from billing.gateway import Object
from billing.models import (
    Operation,
    OperationState,
    Price,
    PromotionCode,
    StripeCustomer,
    Subscription,
)
from billing.money import shown
from billing.operations import run_operation
from billing.refusals import refused_by
from billing.shapes import ref
from billing.subscriptions import AlreadySo, ChangePreview, NotChangeable
from billing.sync import NotOurs, sync_customer
from config.errors import Conflict, Unavailable
from keystore import audit

Clock = Callable[[], datetime]

PREVIEW_LASTS = timedelta(minutes=30)
LATER = "Stripe has not answered yet; it is looked after and ends by itself."


class PreviewOutdated(Conflict):
    """What was shown is not what it would cost now."""

    code = "preview_outdated"


@dataclass(frozen=True)
class Seen:
    """The preview that somebody agreed to: its instant and what it would charge."""

    at: datetime
    due_now_minor: int


@dataclass(frozen=True)
class Outcome:
    """`done` is False while Stripe's answer is missing."""

    operation: Operation
    done: bool
    said: str


def cancel_now(*, subscription: Subscription, actor: str, reason: str, clock: Clock) -> Outcome:
    """End it at once. Nothing is paid back by this."""
    _refuse_if_ended(subscriptions.read_subscription(subscription))
    return _act(
        subscription,
        "subscription.cancel",
        lambda at: subscriptions.want_cancel(subscription=subscription, actor=actor, at=at),
        reason=reason,
        clock=clock,
        said="The subscription has ended, and with it the access that it gave.",
    )


def cancel_at_period_end(
    *, subscription: Subscription, actor: str, reason: str, clock: Clock
) -> Outcome:
    """Let it run to the end of what is paid and not renew."""
    found = subscriptions.read_subscription(subscription)
    _refuse_if_ended(found)
    if found["cancel_at"] is not None:
        raise AlreadySo("It ends already at the end of its period: nothing was changed.")
    return _act(
        subscription,
        "subscription.cancel_at_period_end",
        lambda at: subscriptions.want_cancel_at_period_end(
            subscription=subscription, actor=actor, at=at
        ),
        reason=reason,
        clock=clock,
        said="The subscription will not renew; access stays until the end of the period.",
    )


def uncancel(*, subscription: Subscription, actor: str, reason: str, clock: Clock) -> Outcome:
    """Let it renew after all, while it has not ended."""
    found = subscriptions.read_subscription(subscription)
    _refuse_if_ended(found)
    if found["cancel_at"] is None:
        raise AlreadySo("It renews already: nothing was changed.")
    return _act(
        subscription,
        "subscription.uncancel",
        lambda at: subscriptions.want_uncancel(
            subscription=subscription, found=found, actor=actor, at=at
        ),
        reason=reason,
        clock=clock,
        said="The subscription renews again.",
    )


def pause(
    *,
    subscription: Subscription,
    actor: str,
    reason: str,
    clock: Clock,
    resumes_at: datetime | None = None,
) -> Outcome:
    """Collect nothing until it is resumed, at `resumes_at` by itself; access stays to the end of
    what is paid.
    """
    if resumes_at is not None:
        schedules.refuse_resumption(subscription=subscription, due_at=resumes_at, at=clock())
    found = subscriptions.read_subscription(subscription)
    _refuse_if_ended(found)
    if found["pause_collection"] is not None:
        raise AlreadySo("It is paused already: nothing was changed.")
    if found["status"] not in access.PAYING:
        raise NotChangeable(
            f"The subscription is {found['status']}: settle the open invoice first, or cancel it."
        )

    def wish(at: datetime) -> Operation:
        schedules.drop_resumption(subscription=subscription, actor=actor, at=at)
        if resumes_at is not None:
            schedules.write_resumption(
                subscription=subscription, due_at=resumes_at, actor=actor, reason=reason, at=at
            )
        return subscriptions.want_pause(subscription=subscription, actor=actor, at=at)

    return _act(
        subscription,
        "subscription.pause",
        wish,
        reason=reason,
        clock=clock,
        said="Paused: nothing is collected, and access stays until the end of what is paid.",
    )


def resume(
    *, subscription: Subscription, seen: Seen | None, actor: str, reason: str, clock: Clock
) -> Outcome:
    """Go on after a pause, at the price that was seen; without `seen`, at what it costs now."""
    at = seen.at if seen else clock().replace(microsecond=0)
    if seen:
        _refuse_old(seen, clock())
    before = _changes_of(subscription)
    preview = subscriptions.preview_resume(subscription=subscription, at=at)
    seen = seen or Seen(at, preview.due_now_minor)

    def also(operation: Operation) -> None:
        schedules.drop_resumption(subscription=subscription, actor=actor, at=clock())

    return _change(preview, before, "subscription.resume", seen, actor, reason, clock, also)


def commit(
    *,
    price_it: Callable[[], ChangePreview],
    subscription: Subscription,
    act: str,
    actor: str,
    reason: str,
    clock: Clock,
    also: Callable[[Operation], None],
) -> Outcome:
    """Price a change and make it. `also` runs in the transaction that writes the wish down."""
    before = _changes_of(subscription)
    preview = price_it()
    seen = Seen(preview.at, preview.due_now_minor)
    return _change(preview, before, act, seen, actor, reason, clock, also)


def change_plan(
    *,
    subscription: Subscription,
    price: Price,
    prorate: bool,
    seen: Seen | None,
    actor: str,
    reason: str,
    clock: Clock,
    quantity: int | None = None,
    code: PromotionCode | None = None,
) -> Outcome:
    """Change to another price or quantity, for what was seen and not a cent more. `code` is
    redeemed with it.

    Without `seen` the price is asked now, and that is what is charged. Raises PreviewOutdated
    when it would cost something else by now; then nothing was changed.
    """
    act = "change_plan" if quantity is None else "change_quantity"
    at = seen.at if seen else clock().replace(microsecond=0)
    if seen:
        _refuse_old(seen, clock())
    before = _changes_of(subscription)
    preview = subscriptions.preview_plan_change(
        subscription=subscription,
        price=price,
        prorate=prorate,
        at=at,
        quantity=quantity,
        code=code,
    )
    seen = seen or Seen(at, preview.due_now_minor)
    return _change(preview, before, f"subscription.{act}", seen, actor, reason, clock)


def _refuse_old(seen: Seen, at: datetime) -> None:
    if not timedelta(0) <= at - seen.at <= PREVIEW_LASTS:
        raise PreviewOutdated("The preview is too old: look at the price again, then confirm.")


def _changes_of(subscription: Subscription) -> dict[int, str]:
    """How each of our calls about the subscription stands."""
    calls = Operation.objects.filter(subject=subscription.stripe_subscription_id)
    return dict(calls.values_list("pk", "state"))


def _change(
    preview: ChangePreview,
    before: dict[int, str],
    act: str,
    seen: Seen,
    actor: str,
    reason: str,
    clock: Clock,
    also: Callable[[Operation], None] | None = None,
) -> Outcome:
    """`before`: how our calls stood when Stripe was asked for the price."""

    def wish(at: datetime) -> Operation:
        operation = subscriptions.want_change(preview=preview, actor=actor, at=at)
        if _changes_of(preview.subscription) != {**before, operation.pk: operation.state}:
            raise PreviewOutdated("Somebody changed it meanwhile: look at the price again.")
        if also is not None:
            also(operation)
        return operation

    if preview.due_now_minor != seen.due_now_minor:
        costs = shown(preview.due_now_minor, preview.currency)
        raise PreviewOutdated(f"It would cost {costs} by now: look at the price again.")
    return _act(
        preview.subscription,
        act,
        wish,
        reason=reason,
        clock=clock,
        said=f"Changed. {money_of(preview)}",
    )


def money_of(preview: ChangePreview) -> str:
    """In words what a change does to money."""
    due, currency = preview.due_now_minor, preview.currency
    now = f"{shown(due, currency)} is charged now" if due > 0 else "Nothing is charged now"
    if due < 0:
        now = f"{shown(-due, currency)} is credited and lowers the next invoices"
    if preview.next_minor is None or preview.next_at is None:
        return f"{now}."
    next_one = shown(preview.next_minor, currency)
    return f"{now}; the next invoice, on {preview.next_at:%Y-%m-%d}, is for {next_one}."


def _refuse_if_ended(found: Object) -> None:
    if found["status"] in access.ENDED:
        raise AlreadySo("It has ended already: nothing was changed. A new one needs a checkout.")


def _act(
    subscription: Subscription,
    act: str,
    wish: Callable[[datetime], Operation],
    *,
    reason: str,
    clock: Clock,
    said: str,
) -> Outcome:
    with transaction.atomic():
        operation = wish(clock())
        audit.record(
            actor=operation.actor,
            act=act,
            target=subscription,
            consumer=subscription.consumer,
            after={"operation": operation.public_id, "params": operation.params},
            reason=reason,
        )
    found = run_operation(operation=operation, at=clock())
    invoice = ref(found.get("latest_invoice")) if found else ""
    touched = [("invoice", invoice)] if invoice else []
    customer_id = subscription.consumer.stripe_customer.stripe_customer_id
    return _followed(operation, customer_id, touched, clock, said)


def _followed(
    operation: Operation,
    stripe_customer_id: str,
    touched: list[tuple[str, str]],
    clock: Clock,
    said: str,
) -> Outcome:
    """Bring our side up to date with what the operation did. Raises what Stripe refused."""
    if operation.state == OperationState.FAILED:
        has_code = "discounts" in operation.params
        said = "Stripe refused, and nothing was changed: "
        raise refused_by(operation, what=said, has_code=has_code)
    if operation.state != OperationState.DONE:
        return Outcome(operation, done=False, said=LATER)
    try:
        sync_customer(stripe_customer_id=stripe_customer_id, clock=clock, touched=touched)
    except (Unavailable, NotOurs):
        said += " Our own pages follow in a moment."
    return Outcome(operation, done=True, said=said)


def set_default_card(
    *, holder: StripeCustomer, stripe_id: str, actor: str, reason: str, clock: Clock
) -> str:
    """Pay with this card from now on, live subscriptions that name another card included."""
    cards = cards_of(holder=holder)
    card = card_named(cards, stripe_id)
    others = [sub for one in cards if one != card for sub in one.named_by]
    if card.is_default and not others:
        raise AlreadySo(f"{card.text} is the default already: nothing was changed.")
    with transaction.atomic():
        at = clock()
        operations = [want_default_card(holder=holder, card=card, actor=actor, at=at)]
        operations += [
            want_card_for(holder=holder, card=card, subscription_id=sub, actor=actor, at=at)
            for sub in others
        ]
        _record_card("card.set_default", holder, card, operations, actor, reason)
    return _finish_card(holder, operations, f"{card.text} pays from now on.", clock)


def detach_card(
    *, holder: StripeCustomer, stripe_id: str, actor: str, reason: str, clock: Clock
) -> str:
    """Let a card go that pays for nothing."""
    card = card_named(cards_of(holder=holder), stripe_id)
    with transaction.atomic():
        operation = want_detach(holder=holder, card=card, actor=actor, at=clock())
        _record_card("card.detach", holder, card, [operation], actor, reason)
    return _finish_card(holder, [operation], f"{card.text} is let go.", clock)


def _record_card(
    act: str,
    holder: StripeCustomer,
    card: Card,
    operations: list[Operation],
    actor: str,
    reason: str,
) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=holder,
        consumer=holder.consumer,
        after={"card": card.stripe_id, "operations": [each.public_id for each in operations]},
        reason=reason,
    )


def _finish_card(
    holder: StripeCustomer, operations: list[Operation], said: str, clock: Clock
) -> str:
    for operation in operations:
        run_operation(operation=operation, at=clock())
    worst = min(operations, key=lambda each: each.state == OperationState.DONE)
    outcome = _followed(worst, holder.stripe_customer_id, [], clock, said)
    return outcome.said
