"""What is true here, in the words of the model, and how it differs from what must be."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from django.db.models import Model, Q

from billing.models import (
    Checkout,
    InboxEvent,
    Invoice,
    Operation,
    Payment,
    Purchase,
    Refund,
    StripeCustomer,
    Subscription,
)
from entitlements.models import Answer, Grant, GrantSource
from entitlements.selectors import answer_of
from keystore.models import ApiKey, AuditEntry, KeyClaim
from tests.scenarios.model import Picture, expected

if TYPE_CHECKING:
    from tests.scenarios.world import World

KEPT = [Checkout, Invoice, Operation, Payment, Purchase, Refund, StripeCustomer, Subscription]
KEPT += [Answer, Grant, ApiKey, KeyClaim, AuditEntry]
NOT_STATE = {"synced_at", "computed_at", "last_used_at"}


def rows() -> dict[str, list[dict[str, Any]]]:
    """Every row that says something, without when it was last looked at."""
    return {model.__name__: _rows(model) for model in KEPT}


def _rows(model: type[Model]) -> list[dict[str, Any]]:
    names = [field.attname for field in model._meta.concrete_fields]
    names = [name for name in names if name not in NOT_STATE]
    found = model._default_manager.order_by("pk")
    if model is AuditEntry:
        found = found.exclude(act="inbox.replay")
    return list(found.values(*names))


def differences(world: "World") -> list[str]:
    wanted = expected(
        world.at_stripe,
        catalogue=world.catalogue,
        users=world.users,
        given=world.gifts(),
        at=world.clock(),
    )
    wanted.inbox = {event["id"]: "worked off" for event in world.at_stripe("event")}
    found = _found(world)
    _leave_out_the_unheard_of(wanted, found, world)
    return [
        f"{part.name}: {line}"
        for part in fields(Picture)
        if part.name != "dead_keys"
        for line in _compared(getattr(wanted, part.name), getattr(found, part.name))
    ] + [f"the key of {source} works or may work again" for source in _undead(wanted)]


def _compared(wanted: dict, found: dict) -> list[str]:
    return [
        f"{key} is {found.get(key, 'missing')}, must be {wanted.get(key, 'missing')}"
        for key in sorted(wanted.keys() | found.keys(), key=str)
        if wanted.get(key, "missing") != found.get(key, "missing")
    ]


def _leave_out_the_unheard_of(wanted: Picture, found: Picture, world: "World") -> None:
    """What a customer did before it was deleted and we first heard of it gave nothing to keep."""
    living = {customer["id"] for customer in world.at_stripe("customer")}
    kinds = {"subscription": "subscriptions", "invoice": "invoices", "charge": "payments"}
    for kind, part in kinds.items():
        for item in world.at_stripe(kind):
            if item["customer"] not in living and item["id"] not in getattr(found, part):
                getattr(wanted, part).pop(item["id"])
    for refund in world.at_stripe("refund"):
        if refund["charge"] not in wanted.payments:
            wanted.refunds.pop(refund["id"])


def _undead(wanted: Picture) -> list[str]:
    alive = ApiKey.objects.filter(revoked_at=None).exclude(provisioned_for="")
    sources = {key.provisioned_for.rpartition(":")[0] for key in alive}
    return sorted(wanted.dead_keys & sources)


def _found(world: "World") -> Picture:
    return Picture(
        subscriptions=_subscriptions(),
        invoices={
            one.stripe_invoice_id: (one.status, one.total_minor, one.paid_minor)
            for one in Invoice.objects.all()
        },
        payments={
            one.stripe_charge_id: (one.status, one.captured_minor, one.refunded_minor)
            for one in Payment.objects.all()
        },
        refunds={
            one.stripe_refund_id: (one.payment.stripe_charge_id, one.status, one.amount_minor)
            for one in Refund.objects.select_related("payment").exclude(
                Q(stripe_refund_id="") & Q(status="failed")  # refused by Stripe: nothing there
            )
        },
        purchases={one.stripe_payment_intent_id: one.state for one in Purchase.objects.all()},
        windows=_windows(),
        working_keys=_working_keys(world),
        features={name: _features(world, user) for name, user in world.users.items()},
        inbox=_inbox(),
    )


def _subscriptions() -> dict[str, tuple]:
    return {
        one.stripe_subscription_id: (
            one.consumer.external_id,
            one.status,
            one.plan.code if one.plan else None,
            one.mrr_minor,
            (one.current_period_start, one.current_period_end),
            one.cancel_at,
            one.ended_at,
            one.paused,
        )
        for one in Subscription.objects.select_related("plan", "consumer")
    }


def _windows() -> dict[tuple[str, str], tuple]:
    paid = Grant.objects.exclude(source=GrantSource.STAFF).filter(revoked_at=None)
    return {
        (one.source_ref, one.plan.code): (one.consumer.external_id, one.valid_from, one.valid_to)
        for one in paid.select_related("plan", "consumer")
    }


def _working_keys(world: "World") -> dict[str, tuple]:
    at = world.clock()
    works = ApiKey.objects.filter(revoked_at=None, disabled_at=None, app=None)
    works = works.filter(Q(expires_at=None) | Q(expires_at__gt=at)).order_by("pk")
    found: dict[str, tuple] = {}
    for key in works.select_related("consumer"):
        source = key.provisioned_for.rpartition(":")[0]
        said = (key.consumer.external_id, key.plan_limit_per_minute, key.metadata["plan"])
        found[source] = (*found[source], *said) if source in found else said
    return found


def _features(world: "World", user: Any) -> set[str]:
    import json

    body = json.loads(answer_of(consumer=user, at=world.clock()).body)
    return {one["feature_code"] for one in body["entitlements"] if one["active"]}


def _inbox() -> dict[str, str]:
    """An event is here once, and nothing of it is left to do."""
    ends = {"done": "worked off", "ignored": "worked off"}
    rows = InboxEvent.objects.values_list("event_id", "state", "last_error")
    return {event: ends.get(state, f"{state}: {error}") for event, state, error in rows}
