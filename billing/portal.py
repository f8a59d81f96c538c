"""Stripe's customer portal: whether a consumer can open it, and the link to it."""

from dataclasses import dataclass
from datetime import datetime

from billing.models import OperationKind, OperationState, StripeCustomer
from billing.operations import run_operation, want
from config.errors import NotFound, Unavailable
from keystore.models import Consumer


class NoCustomer(NotFound):
    code = "customer_not_found"


@dataclass(frozen=True)
class Eligibility:
    """Whether the portal would open; `reason` is a machine code."""

    eligible: bool
    reason: str
    explanation: str


@dataclass(frozen=True)
class PortalSession:
    stripe_session_id: str
    url: str


def check_eligibility(*, consumer: Consumer | None) -> Eligibility:
    """What an app asks before it shows the button."""
    if consumer is None:
        return Eligibility(
            False, "unknown_user", "This user is not known here. Complete a checkout first."
        )
    holder = StripeCustomer.objects.filter(consumer=consumer).first()
    if holder is None:
        return Eligibility(
            False, "no_customer", "There is no Stripe customer yet. Complete a checkout first."
        )
    if holder.deleted_at is not None:
        return Eligibility(
            False, "customer_deleted", "The Stripe customer was deleted. Complete a new checkout."
        )
    return Eligibility(True, "eligible", "The portal can be opened.")


def open_portal(
    *, consumer: Consumer | None, return_url: str, actor: str, at: datetime
) -> PortalSession:
    """A fresh link, good for minutes. Raises NoCustomer, StripeRefused, Unavailable."""
    eligibility = check_eligibility(consumer=consumer)
    if consumer is None or not eligibility.eligible:
        raise NoCustomer(
            eligibility.explanation,
            errors=[
                {
                    "location": "body.user_id",
                    "message": eligibility.reason,
                    "fix": eligibility.explanation,
                }
            ],
        )
    operation = want(
        project=consumer.project,
        kind=OperationKind.CREATE_PORTAL,
        path="/v1/billing_portal/sessions",
        params={
            "customer": consumer.stripe_customer.stripe_customer_id,
            "return_url": return_url,
        },
        actor=actor,
        at=at,
    )
    session = run_operation(operation=operation, at=at)
    if session is None:
        # A link that comes too late serves nobody: it is not tried again.
        problem = operation.error
        type(operation).objects.filter(pk=operation.pk).exclude(
            state__in=[OperationState.DONE, OperationState.FAILED]
        ).update(state=OperationState.FAILED, lease_until=None, finished_at=at)
        raise Unavailable(f"Stripe could not open the portal: {problem}")
    return PortalSession(session["id"], session["url"])
