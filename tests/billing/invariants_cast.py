"""Each promise broken on purpose."""

from datetime import timedelta

import pytest
from django.conf import settings as configuration
from django.db import connection

from billing.invariants import CHECKS, check_all
from billing.models import (
    ApiListing,
    Checkout,
    Creator,
    Invoice,
    MeterLink,
    Operation,
    Payment,
    Refund,
    RefundRequest,
    StripeCustomer,
    Subscription,
    UsageReport,
)
from entitlements.models import Grant
from entitlements.services import refresh_answer
from keystore import jobs
from keystore.models import ApiKey, HookDelivery, HookEndpoint, OutboxMessage
from metering.models import CreditPack, Meter, QuotaBalance, Reservation, UsageTotal, Watermark
from tests.billing.admin.conftest import an_event
from tests.conftest import NOON

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def jobs_that_ran(db):
    for name in configuration.JOB_SCHEDULE:
        jobs.finish(name=name, failed=False, result="", milliseconds=1, at=NOON)


@pytest.fixture
def plant(alice, pro):
    return Plant(alice, pro)


class Plant:
    """Breaks promises by writing rows past the services."""

    def __init__(self, consumer, plan):
        self.consumer, self.plan = consumer, plan
        self.own = {"project": consumer.project, "consumer": consumer}

    def subscription(self, **fields):
        values = {
            "stripe_subscription_id": "sub_1",
            "status": "active",
            "currency": "usd",
            "current_period_start": NOON - HOUR,
            "current_period_end": NOON + HOUR,
            "started_at": NOON - HOUR,
            "synced_at": NOON - HOUR,
        }
        return Subscription.objects.create(**self.own, **{**values, **fields})

    def payment(self, **fields):
        return Payment.objects.create(
            **self.own,
            stripe_charge_id="ch_1",
            status="succeeded",
            currency="usd",
            captured_minor=1000,
            created_at=NOON,
            synced_at=NOON,
            **fields,
        )

    def refund(self, payment, amount):
        return Refund.objects.create(
            project=payment.project,
            payment=payment,
            status="succeeded",
            amount_minor=amount,
            currency="usd",
            stripe_refund_id=f"re_{amount}",
        )

    def key(self, number=1, **fields):
        return ApiKey.objects.create(
            **self.own,
            digest=f"{number:064}",
            prefix="lk_test_abc",
            last4=f"{number:04}",
            **{"provisioned_for": "sub_1:default", "created_at": NOON - HOUR, **fields},
        )

    def grant(self, source_ref="sub_1"):
        return Grant.objects.create(
            **self.own,
            plan=self.plan,
            source="subscription",
            source_ref=source_ref,
            valid_from=NOON - HOUR,
            idempotency_key=source_ref,
        )

    # --- one for each promise; what is returned is named in the finding ---

    def refunds_within_captured(self):
        payment = self.payment(refunded_minor=1000)
        self.refund(payment, 600)
        self.refund(payment, 500)
        return "ch_1"

    def ledger_equals_refunds(self):
        self.refund(self.payment(refunded_minor=300), 200)
        return "3.00 USD"

    def operations_have_outcomes(self):
        made = Operation.objects.create(
            project=self.consumer.project,
            kind="refund",
            path="/v1/refunds",
            params={},
            state="unknown",
            actor="x",
            created_at=NOON - timedelta(minutes=16),
        )
        return str(made)

    def paid_checkouts_are_fulfilled(self):
        price = self.plan.prices.create(
            project=self.consumer.project,
            stripe_price_id="price_1",
            kind="one_off",
            amount_minor=900,
            currency="usd",
        )
        made = Checkout.objects.create(
            **self.own,
            price=price,
            plan=self.plan,
            mode="payment",
            state="complete",
            stripe_payment_intent_id="pi_1",
            completed_at=NOON - HOUR,
        )
        return made.public_id

    def refund_requests_expire(self):
        made = RefundRequest.objects.create(
            **self.own,
            payment=self.payment(),
            amount_minor=100,
            currency="usd",
            reason="x",
            wish="w",
            state="awaiting",
            requested_by="staff:sam",
            expires_at=NOON - HOUR,
        )
        return made.public_id

    def meter(self):
        feature = self.consumer.project.features.create(code="tokens", kind="limit")
        return self.consumer.project.meters.create(code="tokens", feature=feature)

    def balance(self, **figures):
        return QuotaBalance.objects.create(
            **self.own,
            meter=self.meter(),
            period_start=NOON - HOUR,
            period_end=NOON + HOUR,
            enforcement="hard",
            **figures,
        )

    def balances_count_their_events(self):
        self.balance(used=3)
        return "the balance counts 3"

    def credits_equal_their_ledger(self):
        made = CreditPack.objects.create(
            **self.own, meter=self.meter(), amount=5, remaining=5, source="staff"
        )
        made.entries.create(kind="given", delta=4)
        return "add up to 4"

    def kept_back_is_held(self):
        self.balance(reserved=3)
        return "3.000000000000 kept back"

    def reservations_end(self):
        balance = self.balance(reserved=3)
        made = Reservation.objects.create(
            project=balance.project, balance=balance, quantity=3, expires_at=NOON - HOUR
        )
        return made.public_id

    def creator(self):
        return Creator.objects.create(**self.own, country="US", currency="usd")

    def sold(self, *, at=NOON - HOUR):
        """A payment for a creator's API of an hour ago, and its ledger's owner."""
        creator = self.creator()
        api = self.own["project"].apis.create(code="weather")
        ApiListing.objects.create(api=api, creator=creator, created_at=at - HOUR)
        self.plan.api = api
        self.plan.save(update_fields=["api"])
        self.subscription(plan=self.plan)
        Invoice.objects.create(
            **self.own,
            stripe_invoice_id="in_1",
            stripe_subscription_id="sub_1",
            status="paid",
            currency="usd",
            total_minor=1000,
            paid_minor=1000,
            created_at=at,
            synced_at=at,
        )
        payment = self.payment(stripe_invoice_id="in_1")
        Payment.objects.update(synced_at=at, created_at=at)
        return creator, payment

    def sales_are_on_the_ledger(self):
        self.sold()
        return "10.00 USD unwritten"

    def refunded_sales_are_taken_back(self):
        creator, payment = self.sold()
        self.refund(payment, 1000)
        Payment.objects.update(refunded_minor=1000)
        price = self.plan.prices.create(
            project=creator.project, stripe_price_id="price_1", amount_minor=1, currency="usd"
        )
        creator.earnings.create(
            project=creator.project, kind="sale", currency="usd", amount_minor=1000,
            gross_minor=1000, payment=payment, price=price, source="ch_1", occurred_at=NOON,
        )  # fmt: skip
        return "10.00 USD of it is still on the ledger"

    def payout(self, **fields):
        creator = self.creator()
        operation = Operation.objects.create(
            project=creator.project, kind="transfer", path="/", params={}, actor="system",
            state="done", created_at=NOON,
        )  # fmt: skip
        creator.earnings.create(
            project=creator.project, kind="adjustment", currency="usd", amount_minor=500,
            source="x", occurred_at=NOON,
        )  # fmt: skip
        return creator.payouts.create(
            project=creator.project, currency="usd", amount_minor=500, operation=operation, **fields
        )

    def payouts_are_on_the_ledger(self):
        self.payout(created_at=NOON)
        return "wanted, its lines sum to 0.00 USD"

    def payouts_end(self):
        payout = self.payout(created_at=NOON - timedelta(days=15), problem="no such account")
        payout.earnings.create(
            project=payout.project, creator=payout.creator, kind="payout", currency="usd",
            amount_minor=-500, source=payout.public_id, occurred_at=NOON,
        )  # fmt: skip
        return "no such account"

    def subscriptions_renew(self):
        self.subscription(current_period_end=NOON - timedelta(hours=3))
        return "sub_1"

    def periods_have_begun(self):
        self.subscription(current_period_start=NOON + timedelta(minutes=6))
        return "sub_1"

    def subscribers_exist(self):
        self.subscription()
        StripeCustomer.objects.create(**self.own, stripe_customer_id="cus_1", deleted_at=NOON)
        return "sub_1"

    def grants_end_with_subscriptions(self):
        self.subscription(status="canceled")
        self.grant()
        refresh_answer(consumer=self.consumer, at=NOON)
        return "sub_1 has ended"

    def keys_end_with_access(self):
        self.key()
        return "sub_1:default"

    def one_key_per_slot(self):
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX IF EXISTS key_once_per_slot")
        self.grant()
        refresh_answer(consumer=self.consumer, at=NOON)
        self.key(1)
        self.key(2)
        return "2 usable keys"

    def answers_follow_grants(self):
        refresh_answer(consumer=self.consumer, at=NOON)
        self.grant()
        return "alice"

    def events_are_worked_off(self):
        an_event("evt_1", received_at=NOON - timedelta(minutes=16), last_error="no answer")
        return "no answer"

    def no_event_is_parked(self):
        an_event("evt_1", state="parked", last_error="poison")
        return "poison"

    def ended_events_say_why(self):
        an_event("evt_1", state="done", received_at=NOON, finished_at=NOON)
        return "evt_1"

    def webhooks_arrive(self):
        for number, deliveries, minutes in [(1, 1, 40), (2, 0, 20)]:
            at = NOON - timedelta(minutes=minutes)
            values = {"stripe_created_at": at, "received_at": at, "deliveries": deliveries}
            an_event(f"evt_{number}", state="done", note="x", finished_at=at, **values)
        return "the last webhook came 2026-03-01 11:20"

    def audit_is_guarded(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE keystore_auditentry DISABLE TRIGGER keystore_audit_is_append_only"
            )
        return "switched off"

    def hooks_are_delivered(self):
        project = self.consumer.project
        made = HookDelivery.objects.create(
            project=project,
            message=OutboxMessage.objects.create(project=project, kind="x", data={}),
            endpoint=HookEndpoint.objects.create(project=project, url="https://a.example/"),
            next_attempt_at=NOON - HOUR,
        )
        return made.public_id

    def usage_report(self, **fields):
        meter, _ = Meter.objects.get_or_create(project=self.consumer.project, code="calls")
        return UsageReport.objects.create(
            **self.own,
            **{"meter": meter, "bucket": NOON - 5 * HOUR, "version": 1, "identifier": "calls-1"},
            **{"counted": 5, "quantity": 5, "created_at": NOON - 3 * HOUR, **fields},
        )

    def usage_reported_is_usage_counted(self):
        StripeCustomer.objects.create(**self.own, stripe_customer_id="cus_1")
        meter = Meter.objects.create(project=self.consumer.project, code="calls")
        own = {"project": meter.project, "meter": meter}
        MeterLink.objects.create(**own, stripe_meter_id="mtr_1", event_name="calls")
        hours = {"grain": "hour", "bucket": NOON - 5 * HOUR}
        UsageTotal.objects.create(**own, consumer=self.consumer, quantity=7, **hours)
        Watermark.objects.update_or_create(name="rollup", defaults={"xid": 1, "moved_at": NOON})
        return "counted 7.000000000000, told 0"

    def usage_reports_arrive(self):
        return self.usage_report(error="Stripe is away").error

    def settled_invoices_are_not_reminded_of(self):
        from billing.models import DunningCourse, Invoice

        invoice = Invoice.objects.create(
            **self.own, stripe_invoice_id="in_1", number="LK-1", status="void", currency="usd",
            total_minor=1499, paid_minor=0, created_at=NOON, synced_at=NOON,
        )  # fmt: skip
        DunningCourse.objects.create(
            **self.own, invoice=invoice, failed_at=NOON, access_until=NOON,
            subscription=self.subscription(status="canceled", ended_at=NOON - HOUR),
        )  # fmt: skip
        return "invoice LK-1 is void"

    def usage_reports_are_taken(self):
        return self.usage_report(state="failed", error="No such customer").error

    def stripe_counts_what_it_was_told(self):
        return self.usage_report(state="done", difference="Stripe counted 4").difference

    def jobs_run(self):
        jobs.finish(
            name="billing.tasks.work_inbox",
            failed=False,
            result="",
            milliseconds=1,
            at=NOON - timedelta(minutes=2),
        )
        return "billing.tasks.work_inbox"


PLANTED = [check.code for check in CHECKS if check.code != "no-old-transactions"]


def broken():
    return {row.code: row for row in check_all(at=NOON) if row.violations}
