"""What a coupon or a code is to be, and what Stripe would not take of it."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.models import Coupon, CouponDuration
from config.errors import InvalidInput
from entitlements.models import Plan
from keystore.models import Consumer, Project

LARGEST_MINOR = 99_999_999
MOST_MONTHS = 36
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,48}\Z")
CODE = re.compile(r"[A-Za-z0-9-]{3,50}\Z")
CURRENCY = re.compile(r"[a-z]{3}\Z")


@dataclass(frozen=True)
class CouponTerms:
    """Either `percent_off` or `amount_off_minor` with `currency`. `plans` (): all of them."""

    code: str
    name: str = ""
    percent_off: Decimal | None = None
    amount_off_minor: int | None = None
    currency: str = ""
    duration: str = CouponDuration.ONCE.value
    duration_in_months: int | None = None
    max_redemptions: int | None = None
    redeem_by: datetime | None = None
    plans: tuple[str, ...] = ()


@dataclass(frozen=True)
class CodeTerms:
    """`first_time`: only for those who never paid. `consumer` None: for everybody."""

    code: str
    first_time: bool = False
    minimum_minor: int | None = None
    minimum_currency: str = ""
    consumer: Consumer | None = None
    expires_at: datetime | None = None
    max_redemptions: int | None = None


def check_coupon(project: Project, terms: CouponTerms, at: datetime) -> None:
    """Raises InvalidInput with what to do."""
    if not NAME.match(terms.code):
        raise InvalidInput("Name the coupon with small letters, digits, - and _ (49 at most).")
    _check_off(terms)
    repeats = terms.duration == CouponDuration.REPEATING
    if terms.duration not in CouponDuration.values or repeats != bool(terms.duration_in_months):
        raise InvalidInput("Say for how many months: only and always for `repeating`.")
    if terms.duration_in_months and terms.duration_in_months > MOST_MONTHS:
        raise InvalidInput(f"A discount repeats for {MOST_MONTHS} months at most.")
    _check_bounds(terms.max_redemptions, terms.redeem_by, at)
    known = set(Plan.objects.filter(project=project).values_list("code", flat=True))
    unknown = sorted(set(terms.plans) - known)
    if unknown:
        raise InvalidInput(f"The project has no plan {', '.join(unknown)}.")
    sold = Plan.objects.filter(project=project, code__in=terms.plans)
    unsold = sold.exclude(prices__stripe_product_id__gt="").values_list("code", flat=True)
    if unsold:
        raise InvalidInput(f"{', '.join(unsold)} has no price at Stripe yet: push it first.")


def _check_off(terms: CouponTerms) -> None:
    if (terms.percent_off is None) == (terms.amount_off_minor is None):
        raise InvalidInput("Take off either a percentage or an amount.")
    if terms.percent_off is not None and not 0 < terms.percent_off <= 100:
        raise InvalidInput("A percentage is more than 0 and 100 at most.")
    if terms.amount_off_minor is not None and not 0 < terms.amount_off_minor <= LARGEST_MINOR:
        raise InvalidInput(f"An amount is 1 to {LARGEST_MINOR:,} of the smallest unit.")
    if (terms.amount_off_minor is not None) != bool(CURRENCY.match(terms.currency)):
        raise InvalidInput("An amount needs its currency, such as usd; a percentage has none.")


def _check_bounds(most: int | None, end: datetime | None, at: datetime) -> None:
    if most is not None and most < 1:
        raise InvalidInput("At least one redemption; leave it out for any number.")
    if end is not None and end <= at:
        raise InvalidInput("The end has passed: choose an instant to come.")


def check_code(coupon: Coupon, terms: CodeTerms, at: datetime) -> None:
    """Raises InvalidInput with what to do."""
    if not CODE.match(terms.code):
        raise InvalidInput("A code has 3 to 50 letters, digits and -.")
    _check_bounds(terms.max_redemptions, terms.expires_at, at)
    if (terms.minimum_minor is not None) != bool(CURRENCY.match(terms.minimum_currency)):
        raise InvalidInput("A smallest purchase needs its currency, such as usd.")
    if terms.minimum_minor is not None and not 0 < terms.minimum_minor <= LARGEST_MINOR:
        raise InvalidInput(f"A smallest purchase is 1 to {LARGEST_MINOR:,} of the smallest unit.")
    most, last = coupon.max_redemptions, coupon.redeem_by
    if most and terms.max_redemptions and terms.max_redemptions > most:
        raise InvalidInput(f"The coupon itself ends after {most} redemptions.")
    if last and terms.expires_at and terms.expires_at > last:
        raise InvalidInput(f"The coupon itself ends on {last:%Y-%m-%d}.")
    if terms.consumer is not None and terms.consumer.project_id != coupon.project_id:
        raise InvalidInput("This consumer belongs to another project.")
