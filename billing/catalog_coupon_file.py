"""Coupons and promotion codes in the catalogue file: read, and written back. Pure."""

from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from billing.catalog_places import SMALLER, Entries, Place
from billing.catalog_spec import CouponSpec
from billing.models import CouponDuration
from billing.promotions.terms import CODE, CURRENCY, NAME, CodeTerms, CouponTerms

COUPON_KEYS = (
    *("name", "percent_off", "amount_off_minor", "currency", "duration", "months"),
    *("max_redemptions", "redeem_by", "plans", "codes"),
)
CODE_KEYS = (
    *("first_time", "minimum_minor", "minimum_currency"),
    *("expires_at", "max_redemptions"),
)


def read_coupon(code: str, place: Place) -> CouponSpec:
    given = place.mapping(COUPON_KEYS)
    if not NAME.match(code):
        raise place.refuse("is no name of a coupon: small letters, digits, - and _.")
    if ("percent_off" in given) == ("amount_off_minor" in given):
        raise place.refuse("give either `percent_off` or `amount_off_minor` with `currency`.")
    if ("amount_off_minor" in given) != ("currency" in given):
        raise place.refuse("an amount needs its `currency`; a percentage has none.")
    months = _most(given, "months")
    duration = given.choice("duration", CouponDuration.values, CouponDuration.ONCE)
    if (duration == CouponDuration.REPEATING) != (months is not None):
        raise place.refuse("`months` goes with `duration: repeating`, and only with it.")
    terms = CouponTerms(
        code=code,
        name=given.text("name"),
        percent_off=_percent(given["percent_off"]) if "percent_off" in given else None,
        amount_off_minor=given["amount_off_minor"].whole(1)
        if "amount_off_minor" in given
        else None,
        currency=given["currency"].matching(CURRENCY.pattern, "a currency such as usd")
        if "currency" in given
        else "",
        duration=duration,
        duration_in_months=months,
        max_redemptions=_most(given, "max_redemptions"),
        redeem_by=_instant(given, "redeem_by"),
        plans=tuple(one.text() for one in given.items_of("plans")),
    )
    codes = tuple(_code(text, one) for text, one in given.mapping_of("codes").items())
    return CouponSpec(terms, codes)


def _code(text: str, place: Place) -> CodeTerms:
    given = place.mapping(CODE_KEYS)
    if not CODE.match(text):
        raise place.refuse("is no promotion code: 3 to 50 letters, digits and -.")
    if ("minimum_minor" in given) != ("minimum_currency" in given):
        raise place.refuse("a smallest purchase needs `minimum_minor` and `minimum_currency`.")
    return CodeTerms(
        code=text,
        first_time=given.flag("first_time", False),
        minimum_minor=_most(given, "minimum_minor"),
        minimum_currency=given.text("minimum_currency"),
        expires_at=_instant(given, "expires_at"),
        max_redemptions=_most(given, "max_redemptions"),
    )


def _percent(place: Place) -> Decimal:
    """A whole number, or text such as "12.5"."""
    try:
        value = Decimal(str(place.value))
    except InvalidOperation:
        value = Decimal(0)
    if isinstance(place.value, bool) or not 0 < value <= 100 or value != round(value, 2):
        raise place.refuse("must be more than 0 and 100 at most, with two decimals at most.")
    return value


def _most(given: Entries, name: str) -> int | None:
    return given[name].whole(1, SMALLER) if name in given else None


def _instant(given: Entries, name: str) -> datetime | None:
    """A day counts to its end, in UTC."""
    if name not in given:
        return None
    text = given[name].text()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise given[name].refuse('must be a quoted day or instant: "2027-01-31".') from None
    if len(text) == len("2027-01-31"):
        found = datetime.combine(found, time(23, 59, 59))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- And back ---------------------------------------------------------------------------------


def coupon_tree(coupon: CouponSpec) -> dict[str, Any]:
    terms = coupon.terms
    percent = None if terms.percent_off is None else _number(terms.percent_off)
    return _filled(
        name=terms.name,
        percent_off=percent,
        amount_off_minor=terms.amount_off_minor,
        currency=terms.currency,
        duration=terms.duration if terms.duration != CouponDuration.ONCE else "",
        months=terms.duration_in_months,
        max_redemptions=terms.max_redemptions,
        redeem_by=_shown(terms.redeem_by),
        plans=list(terms.plans),
        codes={code.code: _code_tree(code) for code in coupon.codes},
    )


def _code_tree(code: CodeTerms) -> dict[str, Any]:
    return _filled(
        first_time=code.first_time or None,
        minimum_minor=code.minimum_minor,
        minimum_currency=code.minimum_currency,
        expires_at=_shown(code.expires_at),
        max_redemptions=code.max_redemptions,
    )


def _number(percent: Decimal) -> int | str:
    return int(percent) if percent == int(percent) else f"{percent.normalize():f}"


def _shown(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat() if at else ""


def _filled(**entries: Any) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if value not in (None, "", [], {})}
