"""Offering coupons and promotion codes, and taking them back: a row each, then Stripe."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from django.db import IntegrityError, transaction

from billing import gateway
from billing.customers import ensure_customer
from billing.gateway import Object
from billing.models import (
    Coupon,
    Operation,
    OperationKind,
    OperationState,
    Price,
    PromotionCode,
)
from billing.operations import run_operation, want
from billing.promotions.terms import CodeTerms, CouponTerms, check_code, check_coupon
from config.errors import Conflict
from keystore import audit
from keystore.models import Consumer, Project

Clock = Callable[[], datetime]
Row = TypeVar("Row", Coupon, PromotionCode)


class CouponExists(Conflict):
    """At Stripe a coupon never changes: other terms need another name."""

    code = "coupon_exists"


class PromotionCodeExists(Conflict):
    code = "promotion_code_exists"


class NotOffered(Conflict):
    """It was taken back already, or never came to be."""

    code = "not_offered"


def stripe_id_of(project: Project, code: str) -> str:
    """A coupon's name at Stripe, where all projects share one list."""
    return f"latchkey_{project.slug}_{code}"


def offer_coupon(
    *, project: Project, terms: CouponTerms, actor: str, reason: str, clock: Clock
) -> Coupon:
    """Make a coupon. Raises InvalidInput, CouponExists, StripeRefused; without `active` and
    `problem` Stripe has not answered, and the janitor goes on.
    """
    check_coupon(project, terms, clock())
    row = _write_coupon(project, terms, actor, reason, clock())
    return _run(row, clock)


def _write_coupon(
    project: Project, terms: CouponTerms, actor: str, reason: str, at: datetime
) -> Coupon:
    stripe_id = stripe_id_of(project, terms.code)
    try:
        with transaction.atomic():
            row = Coupon.objects.create(
                project=project,
                stripe_coupon_id=stripe_id,
                created_by=actor,
                created_at=at,
                **{**asdict(terms), "plans": list(terms.plans)},
            )
            row.operation = want(
                project=project,
                kind=OperationKind.CREATE_COUPON,
                path="/v1/coupons",
                params=_coupon_params(row),
                subject=stripe_id,
                actor=actor,
                at=at,
            )
            row.save(update_fields=["operation"])
            _record(row, "coupon.offer", actor, reason, at, off=row.off)
            return row
    except IntegrityError as twin:
        if "coupon_once_per_code" not in str(twin):
            raise
        raise CouponExists(
            f"There is a coupon {terms.code!r} already, and a coupon never changes: choose "
            "another name."
        ) from twin


def _coupon_params(row: Coupon) -> dict[str, Any]:
    params: dict[str, Any] = {
        "id": row.stripe_coupon_id,
        "duration": row.duration,
        "metadata": {"latchkey_project": row.project.slug, "latchkey_coupon": row.public_id},
    }
    if row.name:
        params["name"] = row.name
    if row.percent_off is not None:
        params["percent_off"] = float(row.percent_off)
    else:
        params |= {"amount_off": row.amount_off_minor, "currency": row.currency}
    if row.duration_in_months:
        params["duration_in_months"] = row.duration_in_months
    if row.max_redemptions:
        params["max_redemptions"] = row.max_redemptions
    if row.redeem_by:
        params["redeem_by"] = int(row.redeem_by.timestamp())
    if row.plans:
        params["applies_to"] = {"products": products_of(row.project, row.plans)}
    return params


def products_of(project: Project, plans: list[str]) -> list[str]:
    """The products at Stripe that stand for the plans."""
    rows = Price.objects.filter(project=project, plan__code__in=plans, only_for=None)
    found = rows.exclude(stripe_product_id="").values_list("stripe_product_id", flat=True)
    return sorted(set(found))


def offer_code(
    *, coupon: Coupon, terms: CodeTerms, actor: str, reason: str, clock: Clock
) -> PromotionCode:
    """Make a code for a coupon. Raises InvalidInput, PromotionCodeExists, StripeRefused."""
    check_code(coupon, terms, clock())
    if not coupon.active:
        raise NotOffered(f"{coupon} cannot be redeemed (any more): offer another coupon.")
    customer = _customer(terms.consumer, actor, clock())
    row = _write_code(coupon, terms, customer, actor, reason, clock())
    return _run(row, clock)


def _customer(consumer: Consumer | None, actor: str, at: datetime) -> str:
    if consumer is None:
        return ""
    holder = ensure_customer(consumer=consumer, actor=actor, at=at)
    if holder is None:
        raise gateway.StripeUnavailable("Stripe cannot be reached. Try again in a moment.")
    return holder.stripe_customer_id


def _write_code(
    coupon: Coupon, terms: CodeTerms, customer: str, actor: str, reason: str, at: datetime
) -> PromotionCode:
    try:
        with transaction.atomic():
            row = PromotionCode.objects.create(
                project=coupon.project,
                coupon=coupon,
                created_by=actor,
                created_at=at,
                **vars(terms),
            )
            row.operation = want(
                project=coupon.project,
                kind=OperationKind.CREATE_PROMOTION_CODE,
                path="/v1/promotion_codes",
                params=_code_params(row, customer),
                subject=row.public_id,
                actor=actor,
                at=at,
            )
            row.save(update_fields=["operation"])
            _record(row, "promotion_code.offer", actor, reason, at, off=coupon.off)
            return row
    except IntegrityError as twin:
        if "promotion_code_once_while_on_offer" not in str(twin):
            raise
        raise PromotionCodeExists(
            f"{terms.code} is on offer already: take that one back first, or choose another."
        ) from twin


def _code_params(row: PromotionCode, customer: str) -> dict[str, Any]:
    rules: dict[str, Any] = {"first_time_transaction": row.first_time}
    if row.minimum_minor:
        rules |= {
            "minimum_amount": row.minimum_minor,
            "minimum_amount_currency": row.minimum_currency,
        }
    params: dict[str, Any] = {
        "promotion": {"type": "coupon", "coupon": row.coupon.stripe_coupon_id},
        "code": row.code,
        "restrictions": rules,
        "metadata": {"latchkey_project": row.project.slug, "latchkey_code": row.public_id},
    }
    if customer:
        params["customer"] = customer
    if row.expires_at:
        params["expires_at"] = int(row.expires_at.timestamp())
    if row.max_redemptions:
        params["max_redemptions"] = row.max_redemptions
    return params


def withdraw_coupon(*, coupon: Coupon, actor: str, reason: str, clock: Clock) -> Coupon:
    """Nobody redeems it any more; discounts that run go on. Raises NotOffered, StripeRefused."""
    path = f"/v1/coupons/{coupon.stripe_coupon_id}"
    with transaction.atomic():
        _end(coupon, clock())
        PromotionCode.objects.filter(coupon=coupon, withdrawn_at=None).update(
            active=False, withdrawn_at=clock()
        )
        coupon.operation = want(
            project=coupon.project,
            kind=OperationKind.DELETE_COUPON,
            method="delete",
            path=path,
            params={},
            subject=coupon.stripe_coupon_id,
            actor=actor,
            at=clock(),
        )
        coupon.save(update_fields=["operation"])
        _record(coupon, "coupon.withdraw", actor, reason, clock(), off=coupon.off)
    return _run(coupon, clock)


def withdraw_code(*, code: PromotionCode, actor: str, reason: str, clock: Clock) -> PromotionCode:
    """Nobody redeems it any more; what was redeemed stays. Raises NotOffered, StripeRefused."""
    with transaction.atomic():
        _end(code, clock())
        code.operation = want(
            project=code.project,
            kind=OperationKind.UPDATE_PROMOTION_CODE,
            path=f"/v1/promotion_codes/{code.stripe_promotion_code_id}",
            params={"active": False},
            subject=code.stripe_promotion_code_id,
            actor=actor,
            at=clock(),
        )
        code.save(update_fields=["operation"])
        _record(code, "promotion_code.withdraw", actor, reason, clock(), off=code.coupon.off)
    return _run(code, clock)


def _end(row: Coupon | PromotionCode, at: datetime) -> None:
    rows = type(row)._default_manager.filter(pk=row.pk, withdrawn_at=None, problem="")
    if not rows.update(active=False, withdrawn_at=at):
        raise NotOffered(f"{row} is not on offer any more: nothing was changed.")


def _run(row: Row, clock: Clock) -> Row:
    assert row.operation is not None
    operation = row.operation
    run_operation(operation=operation, at=clock())
    row.refresh_from_db()
    if operation.state == OperationState.FAILED:
        raise gateway.StripeRefused(f"Stripe refused it: {operation.error}")
    return row


def _record(
    row: Coupon | PromotionCode, act: str, actor: str, reason: str, at: datetime, *, off: str
) -> None:
    audit.record(
        actor=actor,
        act=act,
        target=row,
        project=row.project,
        after={"code": row.code, "off": off},
        reason=reason,
        at=at,
    )


def follow_coupon(found: Object, *, at: datetime) -> None:
    """Take over what Stripe counts of a coupon of ours."""
    if found.get("deleted"):
        Coupon.objects.filter(stripe_coupon_id=found["id"]).update(active=False, synced_at=at)
        return
    Coupon.objects.filter(stripe_coupon_id=found["id"]).update(
        active=found["valid"], times_redeemed=found["times_redeemed"], synced_at=at
    )


def follow_code(found: Object, *, at: datetime) -> None:
    PromotionCode.objects.filter(stripe_promotion_code_id=found["id"]).update(
        active=found["active"], times_redeemed=found["times_redeemed"], synced_at=at
    )


def settle_coupon(operation: Operation, found: Object) -> None:
    at = operation.finished_at or operation.created_at
    if operation.kind == OperationKind.CREATE_COUPON:
        follow_coupon(found, at=at)


def settle_code(operation: Operation, found: Object) -> None:
    at = operation.finished_at or operation.created_at
    PromotionCode.objects.filter(operation=operation).update(stripe_promotion_code_id=found["id"])
    follow_code(found, at=at)


def fail_offer(operation: Operation, problem: str) -> None:
    """What never came to be says why; what could not be taken back is still there."""
    made = (OperationKind.CREATE_COUPON, OperationKind.CREATE_PROMOTION_CODE)
    told: dict[str, Any] = {"problem": problem}
    if operation.kind not in made:
        told = {"active": True, "withdrawn_at": None}
    Coupon.objects.filter(operation=operation).update(**told)
    PromotionCode.objects.filter(operation=operation).update(**told)


def find_coupon(operation: Operation) -> Object | None:
    try:
        return gateway.read(f"/v1/coupons/{operation.subject}")
    except gateway.StripeMissing:
        return None


def find_deleted(operation: Operation) -> Object | None:
    found = find_coupon(operation)
    if found is None or found.get("deleted"):
        return {"id": operation.subject, "deleted": True}
    return None


def find_code(operation: Operation) -> Object | None:
    wanted = operation.params["metadata"]["latchkey_code"]
    for found in gateway.read_all("/v1/promotion_codes", code=operation.params["code"]):
        if (found["metadata"] or {}).get("latchkey_code") == wanted:
            return found
    return None


def find_inactive(operation: Operation) -> Object | None:
    found = gateway.read(f"/v1/promotion_codes/{operation.subject}")
    return None if found["active"] else found


def refresh(*, coupon: Coupon, at: datetime) -> None:
    """Ask Stripe how often the coupon and its codes were redeemed. Raises StripeUnavailable."""
    found = find_coupon_now(coupon)
    codes = gateway.read_all("/v1/promotion_codes", coupon=coupon.stripe_coupon_id)
    with transaction.atomic():
        follow_coupon(found or {"id": coupon.stripe_coupon_id, "deleted": True}, at=at)
        for one in codes:
            follow_code(one, at=at)


def find_coupon_now(coupon: Coupon) -> Object | None:
    try:
        return gateway.read(f"/v1/coupons/{coupon.stripe_coupon_id}")
    except gateway.StripeMissing:
        return None
