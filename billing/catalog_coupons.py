"""The file's coupons against ours: what has to be made. What is there already never changes."""

from collections.abc import Callable
from datetime import datetime

from billing.catalog_diff import Change
from billing.catalog_places import CatalogMistake
from billing.catalog_spec import CouponSpec, ProjectSpec
from billing.models import Coupon, PromotionCode
from billing.promotions.offers import offer_code, offer_coupon
from billing.promotions.terms import CodeTerms, CouponTerms
from config.errors import DomainError, Unavailable
from keystore.models import Project

REASON = "catalogue file"


def read_coupons(project: Project) -> tuple[CouponSpec, ...]:
    """What is on offer to everybody, as the file would say it."""
    rows = Coupon.objects.filter(project=project, withdrawn_at=None, problem="")
    codes = PromotionCode.objects.filter(withdrawn_at=None, problem="", consumer=None)
    return tuple(
        CouponSpec(terms_of(row), tuple(_code_terms(one) for one in codes.filter(coupon=row)))
        for row in rows.order_by("pk")
    )


def terms_of(row: Coupon) -> CouponTerms:
    return CouponTerms(
        code=row.code,
        name=row.name,
        percent_off=row.percent_off,
        amount_off_minor=row.amount_off_minor,
        currency=row.currency,
        duration=row.duration,
        duration_in_months=row.duration_in_months,
        max_redemptions=row.max_redemptions,
        redeem_by=row.redeem_by,
        plans=tuple(row.plans),
    )


def _code_terms(row: PromotionCode) -> CodeTerms:
    return CodeTerms(
        code=row.code,
        first_time=row.first_time,
        minimum_minor=row.minimum_minor,
        minimum_currency=row.minimum_currency,
        expires_at=row.expires_at,
        max_redemptions=row.max_redemptions,
    )


def compare_coupons(wanted: ProjectSpec, project: Project | None) -> list[Change]:
    """What a push would make. Raises CatalogMistake for terms that cannot change any more."""
    rows = Coupon.objects.filter(project=project) if project else Coupon.objects.none()
    known = {row.code: row for row in rows}
    changes = []
    for coupon in wanted.coupons:
        row = known.get(coupon.terms.code)
        if row is None:
            changes.append(Change("stripe", "create", f"coupon {coupon.terms.code}"))
        else:
            _refuse_other(row, coupon.terms)
        held = _codes_of(row)
        changes += [
            Change("stripe", "create", f"promotion code {one.code} of {coupon.terms.code}")
            for one in coupon.codes
            if one.code.upper() not in held
        ]
    return changes


def _refuse_other(row: Coupon, terms: CouponTerms) -> None:
    if terms_of(row) != terms:
        raise CatalogMistake(
            f"The coupon {row.code!r} has other terms already, and a coupon never changes: give "
            "the new terms another name."
        )


def _codes_of(row: Coupon | None) -> set[str]:
    """Those that were ever made: a code that was taken back is not made again by a file."""
    rows = PromotionCode.objects.filter(coupon=row) if row else PromotionCode.objects.none()
    return {one.upper() for one in rows.values_list("code", flat=True)}


def push_coupons(
    *, project: ProjectSpec, row: Project, actor: str, clock: Callable[[], datetime]
) -> list[Change]:
    """Make what is lacking; returns it. Raises CatalogMistake, StripeUnavailable."""
    changes = compare_coupons(project, row)
    try:
        for coupon in project.coupons if changes else ():
            _push(coupon, row, actor, clock)
    except Unavailable:
        raise
    except DomainError as refusal:
        raise CatalogMistake(refusal.message) from refusal
    return changes


def _push(coupon: CouponSpec, row: Project, actor: str, clock: Callable[[], datetime]) -> None:
    made = Coupon.objects.filter(project=row, code=coupon.terms.code).first()
    if made is None:
        made = offer_coupon(
            project=row, terms=coupon.terms, actor=actor, reason=REASON, clock=clock
        )
    held = _codes_of(made)
    for code in coupon.codes:
        if code.code.upper() not in held:
            offer_code(coupon=made, terms=code, actor=actor, reason=REASON, clock=clock)
