"""What Stripe refused, said by what the caller can do about it."""

from billing.gateway import StripeRefused
from billing.models import Operation
from config.errors import DomainError, InvalidInput

LOCATION = "customer_tax_location_invalid"
CODE_REFUSED = ("coupon_expired", "coupon_not_applicable", "promotion_code_expired")


class TaxLocationNeeded(DomainError):
    """Stripe Tax does not know where the customer is."""

    code = "tax_location_needed"
    status = 422


class TaxIdRefused(InvalidInput):
    """The number does not have the form that its country gives it."""

    code = "tax_id_invalid"


class PromotionCodeUnusable(DomainError):
    """The code exists, and this buyer or purchase cannot have it."""

    code = "promotion_code_unusable"
    status = 422


def location_needed(path: str = "body") -> TaxLocationNeeded:
    return TaxLocationNeeded(
        "The tax cannot be counted: Stripe does not know where the customer is. Nothing was "
        "changed. Send the address with PUT /api/v1/billing-details, then try again.",
        errors=[
            {
                "location": f"{path}.address",
                "message": "A country, and in the US a postal code, in Canada the province.",
                "fix": "PUT /api/v1/billing-details with the address of the customer.",
            }
        ],
    )


def code_refused(said: str) -> PromotionCodeUnusable:
    return PromotionCodeUnusable(
        said,
        errors=[
            {
                "location": "body.promotion_code",
                "message": said,
                "fix": "Leave promotion_code out, or send another one.",
            }
        ],
    )


def refused(
    *, message: str, stripe_code: object, what: str = "", has_code: bool = False
) -> DomainError:
    """The error for a refusal of Stripe's; `has_code`: a promotion code was sent with it."""
    if stripe_code == LOCATION:
        return location_needed()
    if stripe_code == "tax_id_invalid":
        return TaxIdRefused(f"{message} Nothing was changed: look at the number and its type.")
    is_code = stripe_code in CODE_REFUSED or "promotion code" in message
    if is_code or (has_code and "coupon" in message.lower()):
        return code_refused(f"Stripe does not take this code: {message} Nothing was changed.")
    return StripeRefused(f"{what}{message}", stripe_code=stripe_code)


def refused_by(operation: Operation, *, what: str, has_code: bool = False) -> DomainError:
    """The error for an operation that failed."""
    return refused(
        message=operation.error, stripe_code=operation.error_code, what=what, has_code=has_code
    )
