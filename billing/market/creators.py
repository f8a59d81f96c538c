"""Becoming a creator, and what Stripe says of a creator's account."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from billing import gateway
from billing.market.news import tell_of_creator
from billing.models import Creator, CreatorState, Operation, OperationKind, OperationState
from billing.models.operations import OPEN_STATES
from billing.operations import run_operation, want
from billing.shapes import instant
from config.errors import Conflict, Unavailable
from keystore import audit
from keystore.models import Consumer

Clock = Callable[[], datetime]


class AlreadyCreator(Conflict):
    code = "creator_terms_differ"


@dataclass(frozen=True)
class OnboardingLink:
    """Stripe's page on which a creator says who they are. Serves once, for minutes."""

    url: str
    expires_at: datetime


@transaction.atomic
def become_creator(
    *, consumer: Consumer, country: str, currency: str, actor: str, at: datetime
) -> Creator:
    """The consumer as a creator; asked again, the same one.

    Raises AlreadyCreator when they are one in another country: Stripe never changes it.
    """
    creator, made = Creator.objects.get_or_create(
        consumer=consumer,
        defaults={
            "project_id": consumer.project_id,
            "country": country,
            "currency": currency,
            "created_at": at,
        },
    )
    if made:
        audit.record(
            actor=actor,
            act="creator.add",
            target=creator,
            consumer=consumer,
            after={"country": country, "currency": currency},
            at=at,
        )
    elif creator.country != country:
        raise AlreadyCreator(f"This user is a creator in {creator.country} already.")
    return creator


def open_onboarding(
    *, creator: Creator, return_url: str, refresh_url: str, actor: str, at: datetime
) -> OnboardingLink:
    """A fresh link; the account at Stripe is made with the first. Raises StripeRefused,
    Unavailable.
    """
    _ensure_account(creator, actor, at)
    operation = want(
        project=creator.project,
        kind=OperationKind.CREATE_ACCOUNT_LINK,
        path="/v1/account_links",
        params={
            "account": creator.stripe_account_id,
            "type": "account_onboarding",
            "return_url": return_url,
            "refresh_url": refresh_url,
        },
        actor=actor,
        at=at,
    )
    link = run_operation(operation=operation, at=at)
    if link is None:
        # A link that comes too late serves nobody: it is not tried again.
        Operation.objects.filter(pk=operation.pk, state__in=OPEN_STATES).update(
            state=OperationState.FAILED, lease_until=None, finished_at=at
        )
        raise Unavailable(f"Stripe could not make the link: {operation.error}")
    return OnboardingLink(link["url"], instant(link["expires_at"]))


def _ensure_account(creator: Creator, actor: str, at: datetime) -> None:
    if creator.stripe_account_id:
        return
    operation = _begin_account(creator, actor, at)
    if operation is not None:
        run_operation(operation=operation, at=at)
        if operation.state == OperationState.FAILED:
            raise gateway.StripeRefused(f"Stripe refused the account: {operation.error}")
    creator.refresh_from_db()
    if not creator.stripe_account_id:
        raise Unavailable("Stripe has not answered yet: ask for the link again in a moment.")


@transaction.atomic
def _begin_account(creator: Creator, actor: str, at: datetime) -> Operation | None:
    """The operation that makes the account, joined or begun; None if one is there by now."""
    locked = Creator.objects.select_for_update(of=("self",), no_key=True).get(pk=creator.pk)
    same = Operation.objects.filter(kind=OperationKind.CREATE_ACCOUNT, subject=creator.public_id)
    under_way = same.filter(state__in=OPEN_STATES).first()
    if under_way is not None or locked.stripe_account_id:
        return under_way
    params: dict[str, object] = {
        "type": "express",
        "country": creator.country,
        "capabilities": {"transfers": {"requested": True}},
        # Payouts are ours to begin, so that each belongs to a row here.
        "settings": {"payouts": {"schedule": {"interval": "manual"}}},
        "metadata": {
            "latchkey_project": creator.project.slug,
            "latchkey_creator": creator.public_id,
        },
    }
    if creator.consumer.email:
        params["email"] = creator.consumer.email
    return want(
        project=creator.project,
        kind=OperationKind.CREATE_ACCOUNT,
        path="/v1/accounts",
        params=params,
        subject=creator.public_id,
        actor=actor,
        at=at,
    )


def settle_account(operation: Operation, found: gateway.Object) -> None:
    """Remember the account that was made."""
    creator = Creator.objects.select_for_update(of=("self",), no_key=True).get(
        public_id=operation.subject
    )
    if not creator.stripe_account_id:
        creator.stripe_account_id = found["id"]
        creator.save(update_fields=["stripe_account_id"])
    if creator.stripe_account_id == found["id"]:
        write_account(creator=creator, found=found, at=operation.finished_at or creator.created_at)


def refresh_creator(*, creator: Creator, clock: Clock) -> Creator:
    """Bring a creator up to what Stripe says of the account now. Raises StripeUnavailable."""
    if not creator.stripe_account_id:
        return creator
    found = gateway.read(f"/v1/accounts/{creator.stripe_account_id}")
    write_account(creator=creator, found=found, at=clock())
    creator.refresh_from_db()
    return creator


@transaction.atomic
def write_account(*, creator: Creator, found: gateway.Object, at: datetime) -> None:
    """The account in our columns; a change of state is on record."""
    before = Creator.objects.select_for_update(of=("self",), no_key=True).get(pk=creator.pk)
    requirements = found.get("requirements") or {}
    can_be_paid = bool(found.get("payouts_enabled"))
    reason = requirements.get("disabled_reason") or ""
    state = _state(found, can_be_paid, reason)
    Creator.objects.filter(pk=creator.pk).update(
        state=state,
        payouts_enabled=can_be_paid,
        requirements=requirements.get("currently_due") or [],
        disabled_reason=reason[:100],
        read_at=at,
    )
    if before.state != state:
        audit.record(
            actor="stripe",
            act="creator.change",
            target=creator,
            consumer=creator.consumer,
            before={"state": before.state},
            after={"state": state, "disabled_reason": reason},
            at=at,
        )
        tell_of_creator(creator=creator, state=state, reason=reason, at=at)


def _state(found: gateway.Object, can_be_paid: bool, reason: str) -> CreatorState:
    if can_be_paid:
        return CreatorState.ACTIVE
    stopped = found.get("details_submitted") or reason.startswith("rejected")
    return CreatorState.DISABLED if stopped else CreatorState.ONBOARDING
