"""Selling: from the wish to buy to Stripe's payment page, and from there to access."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from billing import access, gateway, tax, trials
from billing.customers import ensure_customer
from billing.direct import close_direct, fulfil_direct, subscription_params
from billing.gateway import Object
from billing.models import (
    BillingPolicy,
    Checkout,
    CheckoutMode,
    CheckoutState,
    Operation,
    OperationKind,
    Price,
    PriceKind,
    PromotionCode,
    StripeCustomer,
    Subscription,
)
from billing.operations import run_operation, want
from billing.overrides import price_for
from billing.prices import usage_prices_beside
from billing.projections import project_checkout
from billing.sync import NotOurs, sync_customer
from config.errors import Conflict, InvalidInput
from keystore.models import Consumer

REUSABLE_FOR = timedelta(hours=12)  # Stripe's sessions live for 24 h


class ModeMismatch(InvalidInput):
    code = "mode_mismatch"


class AlreadySubscribed(Conflict):
    code = "already_subscribed"


class CheckoutBusy(Conflict):
    """Another checkout for the same plan is between two states at Stripe."""

    code = "checkout_pending"
    retry_after_seconds = 5


@dataclass(frozen=True)
class Wish:
    """What a buyer wants to buy. Empty URLs lead to Latchkey's own return page.

    With `payment_method_id`, a card of the buyer's own, it is charged at once instead.
    """

    consumer: Consumer
    price: Price
    mode: CheckoutMode
    quantity: int = 1
    success_url: str = ""
    cancel_url: str = ""
    payment_method_id: str = ""
    promotion_code: PromotionCode | None = None


def start_checkout(*, wish: Wish, actor: str, at: datetime) -> Checkout:
    """Write the wish down and get Stripe's page for it.

    The checkout comes back OPEN with its url, PENDING when Stripe's answer is missing (the
    sweeper goes on), or FAILED with the problem. An open checkout for the same wish is returned
    again; one for another price of the same plan is closed first. Raises AlreadySubscribed,
    ModeMismatch, CheckoutBusy, StripeUnavailable.
    """
    _require_mode(wish)
    # What was agreed with this buyer counts in place of the price on sale.
    wish = replace(wish, price=price_for(consumer=wish.consumer, price=wish.price))
    guarded = wish.mode == CheckoutMode.SUBSCRIPTION and not wish.price.plan.allows_many
    if guarded:
        _require_no_subscription(wish)
        twin = _open_twin(wish)
        if twin is not None:
            if _same_wish(twin, wish) and twin.created_at > at - REUSABLE_FOR:
                return advance_checkout(checkout=twin, at=at)
            _close(twin, actor, at)
    checkout = _write_down(wish, guarded, at)
    return advance_checkout(checkout=checkout, at=at)


def _require_mode(wish: Wish) -> None:
    fitting = (
        CheckoutMode.PAYMENT if wish.price.kind == PriceKind.ONE_OFF else CheckoutMode.SUBSCRIPTION
    )
    if wish.mode != fitting:
        raise ModeMismatch(
            f"{wish.price.stripe_price_id} is sold in mode {fitting.value!r}.",
            errors=[
                {
                    "location": "body.mode",
                    "message": f"{wish.mode.value!r} does not fit the price.",
                    "fix": f"Send mode {fitting.value!r}.",
                }
            ],
        )


def _require_no_subscription(wish: Wish) -> None:
    live = Subscription.objects.filter(consumer=wish.consumer, plan=wish.price.plan)
    found = live.exclude(status__in=access.ENDED | access.NOT_BEGUN).first()
    if found is not None:
        raise AlreadySubscribed(
            f"{wish.consumer} already has {wish.price.plan} ({found.stripe_subscription_id}, "
            f"{found.status}). Change it with PUT /api/v1/subscriptions/"
            f"{found.stripe_subscription_id}/upgrade, or open the portal to pay it."
        )


def _open_twin(wish: Wish) -> Checkout | None:
    rows = Checkout.objects.filter(
        consumer=wish.consumer,
        plan=wish.price.plan,
        guarded=True,
        state__in=[CheckoutState.PENDING, CheckoutState.OPEN],
    )
    return rows.first()


def _same_wish(twin: Checkout, wish: Wish) -> bool:
    """The same price to the same buyer in the same way. Where they come back to may differ
    for a saved card, which needs no page.
    """
    urls = (twin.success_url, twin.cancel_url) == (wish.success_url, wish.cancel_url)
    return (urls or bool(wish.payment_method_id)) and (
        twin.price_id,
        twin.quantity,
        twin.stripe_payment_method_id,
        twin.promotion_code,
    ) == (wish.price.pk, wish.quantity, wish.payment_method_id, wish.promotion_code)


def _write_down(wish: Wish, guarded: bool, at: datetime) -> Checkout:
    try:
        with transaction.atomic():
            checkout = _insert(wish, guarded, at)
            if guarded:
                # Once more behind the constraint: a checkout that was open until now has ended,
                # and what it bought is to be seen.
                _require_no_subscription(wish)
            checkout.trial_days = _promised(wish, checkout)
            checkout.save(update_fields=["trial_days"])
            return checkout
    except IntegrityError as twin:
        if "checkout_once_per_plan" not in str(twin):
            raise
        found = _open_twin(wish)
        if found is not None and _same_wish(found, wish):
            return found
        raise CheckoutBusy("Another checkout for this plan has just begun. Try again.") from twin


def _insert(wish: Wish, guarded: bool, at: datetime) -> Checkout:
    return Checkout.objects.create(
        project=wish.consumer.project,
        consumer=wish.consumer,
        price=wish.price,
        plan=wish.price.plan,
        guarded=guarded,
        mode=wish.mode,
        quantity=wish.quantity,
        success_url=wish.success_url,
        cancel_url=wish.cancel_url,
        stripe_payment_method_id=wish.payment_method_id,
        promotion_code=wish.promotion_code,
        created_at=at,
        next_look_at=at,
    )


def _promised(wish: Wish, checkout: Checkout) -> int:
    is_subscription = wish.mode == CheckoutMode.SUBSCRIPTION
    return trials.promise(checkout=checkout) if is_subscription else 0


def advance_checkout(*, checkout: Checkout, at: datetime) -> Checkout:
    """Take the next steps towards Stripe's page; safe to repeat after any crash."""
    if checkout.state == CheckoutState.PENDING:
        try:
            holder = ensure_customer(consumer=checkout.consumer, actor=_actor(checkout), at=at)
        except gateway.StripeRefused as refusal:
            return _fail(checkout, refusal.message)
        if holder is not None:
            run_operation(operation=_session_operation(checkout, holder, at), at=at)
    checkout.refresh_from_db()
    return checkout


def _actor(checkout: Checkout) -> str:
    return f"consumer:{checkout.consumer.public_id}"


@transaction.atomic
def _session_operation(checkout: Checkout, holder: StripeCustomer, at: datetime) -> Operation:
    row = Checkout.objects.select_for_update(of=("self",), no_key=True).get(pk=checkout.pk)
    if row.operation is not None:
        return row.operation
    is_direct = bool(checkout.stripe_payment_method_id)
    params = (
        subscription_params(checkout, holder, _line_items(checkout), _mark(checkout))
        if is_direct
        else _session_params(checkout, holder)
    )
    operation = want(
        project=checkout.project,
        kind=OperationKind.CREATE_SUBSCRIPTION if is_direct else OperationKind.CREATE_CHECKOUT,
        path="/v1/subscriptions" if is_direct else "/v1/checkout/sessions",
        params=params,
        actor=_actor(checkout),
        at=at,
    )
    Checkout.objects.filter(pk=row.pk).update(operation=operation)
    return operation


def _mark(checkout: Checkout) -> dict[str, str]:
    """By which what is made is known as ours."""
    return {
        "latchkey_checkout": checkout.public_id,
        "latchkey_project": checkout.project.slug,
        "latchkey_consumer": checkout.consumer.public_id,
        "plan": checkout.plan.code,
    }


def _session_params(checkout: Checkout, holder: StripeCustomer) -> dict[str, object]:
    mark = _mark(checkout)
    is_subscription = checkout.mode == CheckoutMode.SUBSCRIPTION
    data: dict[str, object] = {"metadata": mark}
    if checkout.trial_days:
        data["trial_period_days"] = checkout.trial_days
    return {
        "mode": checkout.mode,
        "customer": holder.stripe_customer_id,
        "client_reference_id": checkout.consumer.public_id,
        "line_items": _line_items(checkout),
        # Every buyer comes back through us, so that access never waits for a webhook.
        "success_url": f"{settings.PUBLIC_URL}/checkout/return?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": checkout.cancel_url or f"{settings.PUBLIC_URL}/checkout/cancelled",
        "metadata": mark,
        "subscription_data" if is_subscription else "payment_intent_data": data,
        **_codes(checkout),
        **tax.checkout_params(checkout.project),
    }


def _codes(checkout: Checkout) -> dict[str, object]:
    """The code that was named, or leave to type one where the project takes codes."""
    if checkout.promotion_code:
        code = checkout.promotion_code.stripe_promotion_code_id
        return {"discounts": [{"promotion_code": code}]}
    policy = BillingPolicy.objects.filter(project=checkout.project_id).first()
    return {"allow_promotion_codes": True} if policy and policy.takes_codes else {}


def _line_items(checkout: Checkout) -> list[dict[str, object]]:
    """The price, and what the plan bills by usage with it; of usage nobody buys a quantity."""
    price = checkout.price
    line: dict[str, object] = {"price": price.stripe_price_id}
    if price.kind != PriceKind.METERED:
        line["quantity"] = checkout.quantity
    beside: list[dict[str, object]] = [
        {"price": one.stripe_price_id} for one in usage_prices_beside(price)
    ]
    return [line, *beside]


def settle_session(operation: Operation, session: Object) -> None:
    Checkout.objects.filter(operation=operation, state=CheckoutState.PENDING).update(
        state=CheckoutState.OPEN,
        stripe_session_id=session["id"],
        session_url=session.get("url") or "",
    )


def fail_session(operation: Operation, problem: str) -> None:
    Checkout.objects.filter(operation=operation).update(state=CheckoutState.FAILED, problem=problem)


def _fail(checkout: Checkout, problem: str) -> Checkout:
    checkout.state, checkout.problem = CheckoutState.FAILED, problem
    checkout.save(update_fields=["state", "problem"])
    return checkout


# --- Closing one that must not be paid any more ---


def _close(twin: Checkout, actor: str, at: datetime) -> None:
    """End the older checkout at Stripe, so that it cannot be paid beside the new one."""
    advance_checkout(checkout=twin, at=at)
    if twin.state == CheckoutState.OPEN and twin.stripe_payment_method_id:
        close_direct(checkout=twin, actor=actor, at=at)
        twin.refresh_from_db()
    elif twin.state == CheckoutState.OPEN:
        operation = want(
            project=twin.project,
            kind=OperationKind.EXPIRE_CHECKOUT,
            path=f"/v1/checkout/sessions/{twin.stripe_session_id}/expire",
            params={},
            subject=twin.stripe_session_id,
            actor=actor,
            at=at,
        )
        run_operation(operation=operation, at=at)
        twin.refresh_from_db()
    if twin.state in (CheckoutState.PENDING, CheckoutState.OPEN):
        raise CheckoutBusy(
            "An earlier checkout for this plan is being paid or closed. Try again in a moment."
        )


def settle_expiry(operation: Operation, session: Object) -> None:
    Checkout.objects.filter(stripe_session_id=operation.subject).update(
        state=CheckoutState.EXPIRED, problem="another checkout for the plan took its place"
    )


def fail_expiry(operation: Operation, problem: str) -> None:
    """It was paid meanwhile: the sync of its customer says what follows."""


def find_expired(operation: Operation) -> Object | None:
    session = gateway.read(f"/v1/checkout/sessions/{operation.subject}")
    return session if session["status"] == "expired" else None


# --- What came of it ---


def fulfil_checkout(*, checkout: Checkout, clock: Callable[[], datetime]) -> Checkout:
    """Ask Stripe what came of an open checkout and give what was paid for.

    The return page, the API and the sweeper call it; the webhook may be first, late or lost.
    Raises StripeUnavailable, CustomerBusy.
    """
    if checkout.state == CheckoutState.PENDING:
        advance_checkout(checkout=checkout, at=clock())
    if checkout.state == CheckoutState.OPEN and checkout.stripe_payment_method_id:
        fulfil_direct(checkout=checkout, clock=clock)
    elif checkout.state == CheckoutState.OPEN:
        session = gateway.read(f"/v1/checkout/sessions/{checkout.stripe_session_id}")
        if session["status"] != "open":
            _follow(session, clock)
    checkout.refresh_from_db()
    return checkout


def _follow(session: Object, clock: Callable[[], datetime]) -> None:
    try:
        sync_customer(
            stripe_customer_id=session["customer"],
            clock=clock,
            touched=[("checkout.session", session["id"])],
        )
    except NotOurs:
        # Its customer was deleted and replaced meanwhile: only the session itself is left.
        project_checkout(session=session, at=clock())
