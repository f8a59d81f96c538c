"""Changes to subscriptions at Stripe: each is written down first, then sent once.

What a change costs is asked of Stripe beforehand (`preview_...`), and the operation then sends
exactly the parameters that were priced, so that the charge equals what was shown.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing import access, gateway
from billing.gateway import Object
from billing.models import (
    Operation,
    OperationKind,
    Price,
    PriceKind,
    PromotionCode,
    Subscription,
)
from billing.operations import want
from billing.prices import usage_prices_beside
from billing.refusals import refused
from billing.shapes import PAID_UNTIL, instant, ref
from billing.sums import Sums, sums_of
from billing.tax import added_params, require_counted
from config.errors import Conflict, InvalidInput

# The invoice of a paused period is voided: nothing is asked for it, now or later.
PAUSE = {"behavior": "void"}
# A change that cannot be paid for is refused as a whole: Stripe answers 402 and nothing changed.
ALL_OR_NOTHING = {"payment_behavior": "error_if_incomplete", "off_session": True}


class AlreadySo(Conflict):
    """The subscription is in the wanted state already."""

    code = "already_so"


class NotChangeable(Conflict):
    """The subscription's state does not allow the change."""

    code = "subscription_not_changeable"


@dataclass(frozen=True)
class PreviewLine:
    description: str
    amount_minor: int


@dataclass(frozen=True)
class ChangePreview:
    """What a change costs, and what is sent to Stripe to make it.

    `due_now_minor` is charged with the change; below 0 it is credited to the customer's balance.
    `next_minor` is the next regular invoice, at `next_at`; both None when it is not renewed.
    """

    subscription: Subscription
    at: datetime  # the instant at which the parts of the period are counted
    params: dict[str, Any]
    currency: str
    due_now_minor: int
    lines: tuple[PreviewLine, ...]
    next_minor: int | None
    next_at: datetime | None
    kind: OperationKind = OperationKind.UPDATE_SUBSCRIPTION
    path_end: str = ""
    sums: Sums | None = None  # of what is charged now; None: nothing is billed
    next_sums: Sums | None = None  # None: it is not renewed, or begins anew with the change


def read_subscription(subscription: Subscription) -> Object:
    """The subscription as Stripe has it now. Raises StripeUnavailable, StripeMissing."""
    return gateway.read(f"/v1/subscriptions/{subscription.stripe_subscription_id}")


def want_cancel(*, subscription: Subscription, actor: str, at: datetime) -> Operation:
    """Write down that a subscription is to end now; run the operation after the commit."""
    return want(
        project=subscription.project,
        kind=OperationKind.CANCEL_SUBSCRIPTION,
        method="delete",
        path=f"/v1/subscriptions/{subscription.stripe_subscription_id}",
        params={},
        subject=subscription.stripe_subscription_id,
        actor=actor,
        at=at,
    )


def want_cancel_at_period_end(*, subscription: Subscription, actor: str, at: datetime) -> Operation:
    """Write down that a subscription is not to renew."""
    return _want_update(subscription, {"cancel_at_period_end": True}, actor, at)


def want_uncancel(
    *, subscription: Subscription, found: Object, actor: str, at: datetime
) -> Operation:
    """Write down that a subscription renews after all; `found` says how its end was set."""
    by_period = found["cancel_at_period_end"]
    params = {"cancel_at_period_end": False} if by_period else {"cancel_at": ""}
    return _want_update(subscription, params, actor, at)


def want_pause(*, subscription: Subscription, actor: str, at: datetime) -> Operation:
    """Write down that nothing is collected until it is resumed.

    Access goes on until the end of what is paid, which the mark tells: Stripe's status stays
    active, and its periods go on.
    """
    paid_until = subscription.current_period_end
    mark = str(int(paid_until.timestamp())) if paid_until else ""
    params = {"pause_collection": PAUSE, "metadata": {PAID_UNTIL: mark}}
    return _want_update(subscription, params, actor, at)


def want_change(*, preview: ChangePreview, actor: str, at: datetime) -> Operation:
    """Write down the change that was priced: another plan, or going on after a pause."""
    return _want_update(
        preview.subscription, preview.params, actor, at, kind=preview.kind, end=preview.path_end
    )


def _want_update(
    subscription: Subscription,
    params: dict[str, Any],
    actor: str,
    at: datetime,
    *,
    kind: OperationKind = OperationKind.UPDATE_SUBSCRIPTION,
    end: str = "",
) -> Operation:
    return want(
        project=subscription.project,
        kind=kind,
        path=f"/v1/subscriptions/{subscription.stripe_subscription_id}{end}",
        params=params,
        subject=subscription.stripe_subscription_id,
        actor=actor,
        at=at,
    )


def preview_plan_change(
    *,
    subscription: Subscription,
    price: Price,
    prorate: bool = True,
    at: datetime,
    quantity: int | None = None,
    code: PromotionCode | None = None,
) -> ChangePreview:
    """What it costs to change to `price`, or to another `quantity` of it (None: as many as now).

    With `prorate` the rest of the period is settled now. `code` is redeemed with the change.

    Without, the new price begins with the next period; only another interval begins a new period
    at once, which Stripe charges in full. Raises InvalidInput, AlreadySo, NotChangeable.
    """
    found = read_subscription(subscription)
    item = _item_to_change(subscription, found, price, quantity)
    many = item.get("quantity", 1) if quantity is None else quantity
    is_other = item["price"]["id"] != price.stripe_price_id
    details: dict[str, Any] = {
        "items": [
            {"id": item["id"], "price": price.stripe_price_id, "quantity": many},
            *(_usage_items(found, item, price) if is_other else []),
        ],
        "proration_behavior": "always_invoice" if prorate else "none",
    }
    if prorate:
        details["proration_date"] = int(at.timestamp())
    begins_anew = _interval(item["price"]) != (price.interval, price.interval_count)
    return _priced(
        subscription, found, details, at, begins_anew=begins_anew, charges=prorate, code=code
    )


def _item_to_change(
    subscription: Subscription, found: Object, price: Price, quantity: int | None
) -> Object:
    _refuse_unless_paying(found)
    if found["pause_collection"] is not None:
        raise NotChangeable("It is paused: resume it first, then change it.")
    if price.project_id != subscription.project_id:
        raise InvalidInput("This price belongs to another project: choose one of this project.")
    items: list[Object] = found["items"]["data"]
    current = [item for item in items if item["price"]["id"] == price.stripe_price_id]
    if current:
        if quantity in (None, current[0].get("quantity", 1)):
            raise AlreadySo(f"It has the price {price} already: nothing was changed.")
        if price.kind == PriceKind.METERED:
            raise InvalidInput(f"{price} is billed by use: it has no quantity.")
        return current[0]
    _refuse_price(subscription, price)
    known = [item for item in items if item["price"]["id"] == str(subscription.price)]
    if len(items) > 1 and not known:
        raise NotChangeable("Several prices, none of them ours: change the plan at Stripe.")
    return known[0] if known else items[0]


def _usage_items(found: Object, changed: Object, price: Price) -> list[dict[str, Any]]:
    """The old plan's metered items go, the new plan's come. Raises NotChangeable.

    A meter's usage of the running period is billed by whatever item counts it at the end: what
    no item counts any more would never be billed.
    """
    items = [one for one in found["items"]["data"] if one["id"] != changed["id"]]
    metered = [one for one in items if one["price"]["recurring"]["usage_type"] == "metered"]
    wanted = list(usage_prices_beside(price).values_list("stripe_price_id", "usage_terms__meter"))
    kept = {one["price"]["id"] for one in metered} & {each for each, _ in wanted}
    gone = [one for one in metered if one["price"]["id"] not in kept]
    ours = Price.objects.filter(stripe_price_id__in=[one["price"]["id"] for one in gone])
    uncounted = set(ours.values_list("usage_terms__meter", flat=True)) - {m for _, m in wanted}
    if uncounted or len(gone) != ours.count():
        raise NotChangeable(
            "The new plan does not bill what this one counts, and the usage of this period would "
            "be lost: cancel it at the end of its period and sell the new plan then."
        )
    return [
        *({"id": one["id"], "deleted": True} for one in gone),
        *({"price": each} for each, _ in wanted if each not in kept),
    ]


def _refuse_price(subscription: Subscription, price: Price) -> None:
    is_own = price.only_for_id in (None, subscription.consumer_id)
    if price.kind != PriceKind.RECURRING or not price.active or not is_own:
        raise InvalidInput(f"{price} is not for sale as a subscription: choose another price.")
    if price.currency != subscription.currency:
        raise InvalidInput(
            f"The subscription is in {subscription.currency}, the price in {price.currency}: "
            "choose a price in the same currency."
        )


def _refuse_unless_paying(found: Object) -> None:
    if found["status"] not in access.PAYING:
        raise NotChangeable(
            f"The subscription is {found['status']}: only one that is active or in trial can be "
            "changed. Settle the open invoice first, or start a new checkout."
        )


def _interval(price: Object) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def preview_resume(*, subscription: Subscription, at: datetime) -> ChangePreview:
    """What it costs to go on. Within the paid time nothing; after it, a new period begins now."""
    found = read_subscription(subscription)
    anew = {"billing_cycle_anchor": "now", "proration_behavior": "none"}
    if found["status"] == "paused":  # a trial that ended without a card
        preview = _priced(subscription, found, anew, at, begins_anew=True, charges=True)
        return _resuming(preview)
    if found["pause_collection"] is None:
        raise AlreadySo("It is not paused: nothing was changed.")
    paid_until = (found["metadata"] or {}).get(PAID_UNTIL, "")
    over = paid_until.isdigit() and at.timestamp() >= int(paid_until)
    details = anew if over else {}
    preview = _priced(subscription, found, details, at, begins_anew=over, charges=over)
    go_on = {"pause_collection": "", "metadata": {PAID_UNTIL: ""}}
    return _with(preview, params={**preview.params, **go_on})


def _resuming(preview: ChangePreview) -> ChangePreview:
    """Stripe has an own call for it, which takes no mark."""
    return _with(
        preview,
        params={"billing_cycle_anchor": "now"},
        kind=OperationKind.RESUME_SUBSCRIPTION,
        path_end="/resume",
    )


def _with(preview: ChangePreview, **changes: Any) -> ChangePreview:
    return ChangePreview(**{**vars(preview), **changes})


def _priced(
    subscription: Subscription,
    found: Object,
    details: dict[str, Any],
    at: datetime,
    *,
    begins_anew: bool,
    charges: bool,
    code: PromotionCode | None = None,
) -> ChangePreview:
    """Ask Stripe what the change costs now, if anything, and what the next period will cost."""
    is_billed = (charges or begins_anew) and (found["status"] != "trialing" or begins_anew)
    beside = {**added_params(subscription.project, found), **discount_params(found, code)}
    now = preview_invoice(subscription, details, beside) if is_billed else None
    lines = now["lines"]["data"] if now else []
    anew = now if begins_anew else None
    next_minor, next_at, later = _next(subscription, found, details, beside, anew)
    return ChangePreview(
        subscription=subscription,
        at=at,
        params={**details, **(ALL_OR_NOTHING if details else {}), **(beside if details else {})},
        currency=found["currency"],
        due_now_minor=due_of(now) if now else 0,
        lines=tuple(PreviewLine(line["description"] or "", line["amount"]) for line in lines),
        next_minor=next_minor,
        next_at=next_at,
        sums=sums_of(now) if now else None,
        next_sums=sums_of(later) if later else None,
    )


def discount_params(found: Object, code: PromotionCode | None) -> dict[str, Any]:
    """The code beside the discounts that hold; {} leaves them as they are."""
    if code is None:
        return {}
    held = [{"discount": ref(one)} for one in found.get("discounts") or []]
    return {"discounts": [*held, {"promotion_code": code.stripe_promotion_code_id}]}


def due_of(invoice: Object) -> int:
    """What is charged; a total below 0 is credited."""
    total: int = invoice["total"]
    return total if total < 0 else int(invoice["amount_due"])


def _next(
    subscription: Subscription,
    found: Object,
    details: dict[str, Any],
    beside: dict[str, Any],
    anew: Object | None,
) -> tuple[int | None, datetime | None, Object | None]:
    """(amount, when, its preview if Stripe was asked for one)"""
    if found["cancel_at"] is not None:
        return None, None, None
    if anew is not None:
        regular = [line for line in anew["lines"]["data"] if not _is_proration(line)]
        ends = max((line["period"]["end"] for line in regular), default=None)
        return sum(_worth(line) for line in regular), instant(ends), None
    later = {"items": details["items"]} if "items" in details else {}
    upcoming = preview_invoice(subscription, {**later, "proration_behavior": "none"}, beside)
    end = max(item["current_period_end"] for item in found["items"]["data"])
    return due_of(upcoming), instant(end), upcoming


def _worth(line: Object) -> int:
    """What is paid for a line: less its discounts, with the tax that is added."""
    off = sum(one["amount"] for one in line.get("discount_amounts") or [])
    taxes = line.get("taxes") or []
    added = sum(one["amount"] for one in taxes if one["tax_behavior"] == "exclusive")
    worth: int = line["amount"] - off + added
    return worth


def _is_proration(line: Object) -> bool:
    parent = line.get("parent") or {}
    of = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return bool(of.get("proration"))


def preview_invoice(
    subscription: Subscription, details: dict[str, Any], beside: dict[str, Any]
) -> Object:
    """Stripe's preview of an invoice. It is a POST that changes nothing.

    Raises TaxLocationNeeded, PromotionCodeUnusable, StripeUnavailable.
    """
    wanted = {
        "subscription": subscription.stripe_subscription_id,
        "subscription_details": details,
        **beside,
    }
    try:
        found = gateway.ask("/v1/invoices/create_preview", wanted)
    except gateway.StripeRefused as refusal:
        why = refusal.details.get("stripe_code")
        has_code = "discounts" in beside
        raise refused(message=refusal.message, stripe_code=why, has_code=has_code) from refusal
    require_counted(found)
    return found
