"""Journal's rows that an address can name, for the matrix of who gets in where."""

from tests.conftest import NOON
from tests.metering.quota_cast import give

CANARY = "canary-7f3a"  # in everything of alice's that a person wrote


def named_of(journal, alice, key) -> dict[str, str]:
    """Parameter of an address -> journal's row, alice's where it is somebody's."""
    return {
        "consumer_id": alice.public_id,
        "key_id": key.public_id,
        "project_id": str(journal.pk),
        "key": "labs",  # of a flag
        **hooks_named(journal, alice),
        **sales_named(journal, alice),
        **usage_named(journal, alice),
        **market_named(journal, alice),
        **invoices_named(journal, alice),
    }


def hooks_named(journal, alice) -> dict[str, str]:
    from keystore import hooks
    from keystore.models import HookDelivery
    from keystore.outbox import tell

    endpoint = hooks.make_endpoint(
        project=journal, url="https://h.example/", description=CANARY, actor="system", at=NOON
    ).endpoint
    tell(project=journal, kind="key.created", data={"x": CANARY}, consumer=alice, at=NOON)
    delivery = HookDelivery.objects.get()
    return {
        "endpoint_id": endpoint.public_id,
        "delivery_id": delivery.public_id,
        "message_id": delivery.message.public_id,
    }


def sales_named(journal, alice) -> dict[str, str]:
    from billing.models import (
        Checkout,
        InboxEvent,
        Price,
        PriceOverride,
        ReconciliationRun,
        ReplayRun,
        StripeCustomer,
        Subscription,
    )

    plan = journal.plans.create(code="pro", name="Pro")
    price = Price.objects.create(
        project=journal, plan=plan, stripe_price_id="price_1", currency="usd", amount_minor=500
    )
    team = journal.plans.create(code="team", name="Team")
    Price.objects.create(
        project=journal, plan=team, stripe_price_id="price_2", currency="usd", amount_minor=900
    )
    own = {"project": journal, "consumer": alice, "plan": plan, "price": price}
    Subscription.objects.create(
        **own,
        stripe_subscription_id="sub_canary",
        status="active",
        currency="usd",
        started_at=NOON,
        synced_at=NOON,
    )
    checkout = Checkout.objects.create(
        **own, mode="subscription", stripe_session_id="cs_test_canary"
    )
    StripeCustomer.objects.create(project=journal, consumer=alice, stripe_customer_id="cus_canary")
    event = InboxEvent.objects.create(
        event_id="evt_canary",
        type="x",
        payload={},
        livemode=False,
        state="parked",
        stripe_customer_id="cus_canary",
    )
    agreed = PriceOverride.objects.create(
        project=journal, consumer=alice, price=price, amount_minor=100, created_by="x"
    )
    run = ReconciliationRun.objects.create(project=journal, started_by="x")
    replay = ReplayRun.objects.create(project=journal, started_by="x", reason="x", until=NOON)
    return {
        "reference": checkout.public_id,
        "subscription_id": "sub_canary",
        "payment_method_id": "pm_canary",
        "override_id": agreed.public_id,
        "tax_id": "txi_1",
        "event_id": event.event_id,
        "run_id": run.public_id,
        "replay_id": replay.public_id,
    }


def market_named(journal, alice) -> dict[str, str]:
    from billing.models import ApiListing, Creator

    creator = Creator.objects.create(project=journal, consumer=alice, country="US", currency="usd")
    api = journal.apis.create(code="canary_api", name=CANARY)
    ApiListing.objects.create(api=api, creator=creator)
    return {"creator_id": creator.public_id, "api_id": api.public_id, "month": "2026-02"}


def invoices_named(journal, alice) -> dict[str, str]:
    from billing.models import CreditNote, CustomInvoice, Invoice

    own = {"project": journal, "consumer": alice, "currency": "usd"}
    invoice = Invoice.objects.create(
        **own,
        stripe_invoice_id="in_canary",
        status="open",
        total_minor=500,
        paid_minor=0,
        created_at=NOON,
        synced_at=NOON,
    )
    custom = CustomInvoice.objects.create(
        **own, lines=[], days_until_due=30, memo=CANARY, state="draft", created_by="x"
    )
    note = CreditNote.objects.create(
        **own,
        invoice=invoice,
        stripe_credit_note_id="cn_canary",
        status="issued",
        memo=CANARY,
        amount_minor=100,
        created_at=NOON,
    )
    return {
        "invoice_id": "in_canary",
        "custom_id": custom.public_id,
        "note_id": note.public_id,
    }


def usage_named(journal, alice) -> dict[str, str]:
    from metering.models import CreditPack, QuotaBalance, Reservation

    feature = journal.features.create(code="labs", kind="limit")
    meter = journal.meters.create(code="labs", feature=feature)
    give(alice, feature=feature, limit=10)
    pack = CreditPack.objects.create(
        project=journal,
        consumer=alice,
        meter=meter,
        amount=5,
        remaining=5,
        source="staff",
        reason=CANARY,
        idempotency_key="x",
    )
    balance = QuotaBalance.objects.create(
        project=journal,
        consumer=alice,
        meter=meter,
        period_start=NOON,
        enforcement="hard",
        reserved=1,
    )
    held = Reservation.objects.create(project=journal, balance=balance, quantity=1, expires_at=NOON)
    return {"code": "labs", "pack_id": pack.public_id, "reservation_id": held.public_id}
