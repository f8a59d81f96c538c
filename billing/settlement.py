"""What follows when an operation at Stripe is settled, kind by kind."""

from billing import (
    billing_details,
    cards,
    catalog,
    checkout,
    credit_note_steps,
    custom_steps,
    customers,
    direct,
    erasing,
    invoice_desk,
    overrides,
    refunds,
    subscription_outcomes,
    tax_rates,
)
from billing.market import creators, payouts
from billing.models import Operation, OperationKind
from billing.operations import Kind, find_by_mark, register
from billing.promotions import offers


def install() -> None:
    """Tell `billing.operations` what each kind needs; called once at start."""
    kinds = {
        **_before_the_sale(),
        **_after_the_sale(),
        **_in_between(),
        **_of_creators(),
        **_of_invoices(),
        **_of_promotions(),
        **_of_addresses(),
    }
    for kind, behaviour in kinds.items():
        register(kind, behaviour)
    catalog.install()


def _nothing(operation: Operation, outcome: object) -> None:
    """Nothing of ours changes by it."""


def _before_the_sale() -> dict[OperationKind, Kind]:
    return {
        OperationKind.CREATE_CUSTOMER: Kind(
            settle=customers.settle_customer,
            fail=lambda operation, problem: None,  # the checkout that wanted it says so
            find=lambda operation: find_by_mark("/v1/customers", operation),
        ),
        OperationKind.CREATE_CHECKOUT: Kind(
            settle=checkout.settle_session,
            fail=checkout.fail_session,
            find=lambda operation: find_by_mark(
                "/v1/checkout/sessions", operation, customer=operation.params["customer"]
            ),
        ),
        OperationKind.CREATE_SUBSCRIPTION: Kind(
            settle=direct.settle_subscription,
            fail=checkout.fail_session,
            find=lambda operation: find_by_mark(
                "/v1/subscriptions",
                operation,
                customer=operation.params["customer"],
                status="all",
            ),
        ),
        OperationKind.VOID_INVOICE: Kind(
            settle=_nothing,
            fail=_nothing,  # it was paid meanwhile: the sync of its customer says what follows
            find=direct.find_voided,
        ),
        OperationKind.CREATE_OVERRIDE: Kind(
            settle=overrides.settle_override,
            fail=overrides.fail_override,
            find=lambda operation: find_by_mark("/v1/prices", operation),
        ),
        OperationKind.EXPIRE_CHECKOUT: Kind(
            settle=checkout.settle_expiry,
            fail=checkout.fail_expiry,
            find=checkout.find_expired,
        ),
    }


def _after_the_sale() -> dict[OperationKind, Kind]:
    return {
        OperationKind.CANCEL_SUBSCRIPTION: Kind(
            settle=subscription_outcomes.settle_cancel,
            fail=lambda operation, problem: None,  # the next sync shows what is still there
            find=subscription_outcomes.find_canceled,
        ),
        OperationKind.REFUND: Kind(
            settle=refunds.settle_refund,
            fail=refunds.fail_refund,
            find=lambda operation: find_by_mark(
                "/v1/refunds", operation, charge=operation.params["charge"]
            ),
        ),
        OperationKind.DELETE_CUSTOMER: Kind(
            settle=erasing.settle_deletion,
            fail=_nothing,  # the operation itself says why, and is listed as refused
            find=erasing.find_deleted,
        ),
        OperationKind.CREATE_PORTAL: Kind(
            settle=lambda operation, found: None,  # the caller hands the link on
            fail=lambda operation, problem: None,
            find=lambda operation: None,  # a second portal session harms nobody
        ),
    }


def _in_between() -> dict[OperationKind, Kind]:
    """What is changed of a running subscription and of the cards that pay it."""
    return {
        OperationKind.UPDATE_SUBSCRIPTION: Kind(
            settle=subscription_outcomes.settle_update,
            fail=subscription_outcomes.fail_update,
            find=subscription_outcomes.find_updated,
        ),
        OperationKind.RESUME_SUBSCRIPTION: Kind(
            settle=subscription_outcomes.settle_update,
            fail=subscription_outcomes.fail_update,
            find=subscription_outcomes.find_resumed,
        ),
        OperationKind.SET_DEFAULT_CARD: Kind(
            settle=subscription_outcomes.settle_update,
            fail=lambda operation, problem: None,  # the operation itself says why
            find=cards.find_default,
        ),
        OperationKind.ATTACH_CARD: Kind(
            settle=_nothing,
            fail=_nothing,  # the operation itself says why
            find=cards.find_attached,
        ),
        OperationKind.CREATE_SETUP: Kind(
            settle=_nothing,  # the caller hands the secret on
            fail=_nothing,
            find=lambda operation: None,  # a second setup intent harms nobody
        ),
        OperationKind.DETACH_CARD: Kind(
            settle=subscription_outcomes.settle_update,
            fail=lambda operation, problem: None,
            find=cards.find_detached,
        ),
    }


def _of_creators() -> dict[OperationKind, Kind]:
    """Accounts of creators, and money on its way to them."""
    return {
        OperationKind.CREATE_ACCOUNT: Kind(
            settle=creators.settle_account,
            fail=lambda operation, problem: None,  # whoever asked for the link is told
            find=lambda operation: find_by_mark("/v1/accounts", operation),
        ),
        OperationKind.CREATE_ACCOUNT_LINK: Kind(
            settle=lambda operation, found: None,  # the caller hands the link on
            fail=lambda operation, problem: None,
            find=lambda operation: None,  # a second link harms nobody
        ),
        OperationKind.TRANSFER: Kind(
            settle=payouts.settle_transfer,
            fail=payouts.fail_transfer,
            find=lambda operation: find_by_mark(
                "/v1/transfers", operation, destination=operation.params["destination"]
            ),
        ),
        OperationKind.PAY_OUT: Kind(
            settle=payouts.settle_bank,
            fail=payouts.fail_bank,
            find=lambda operation: find_by_mark(
                "/v1/payouts", operation, account=operation.stripe_account
            ),
        ),
        OperationKind.REVERSE_TRANSFER: Kind(
            settle=payouts.settle_return,
            fail=payouts.fail_return,
            find=payouts.find_return,
        ),
    }


def _of_invoices() -> dict[OperationKind, Kind]:
    """The acts on invoices follow themselves: whoever wanted one reads the operation."""
    found = {
        OperationKind.PAY_INVOICE: invoice_desk.find_paid,
        OperationKind.GIVE_UP_INVOICE: invoice_desk.find_given_up,
        OperationKind.ADD_INVOICE_LINES: custom_steps.find_lines,
        OperationKind.SEND_INVOICE: custom_steps.find_sent,
        OperationKind.VOID_CREDIT_NOTE: credit_note_steps.find_voided,
        OperationKind.DELETE_INVOICE: custom_steps.find_deleted,
        OperationKind.CREATE_INVOICE: lambda operation: find_by_mark(
            "/v1/invoices", operation, customer=operation.params["customer"]
        ),
    }
    told = {
        OperationKind.CREATE_CREDIT_NOTE: Kind(
            settle=credit_note_steps.settle_credit_note,
            fail=credit_note_steps.fail_credit_note,
            find=lambda operation: find_by_mark(
                "/v1/credit_notes", operation, invoice=operation.params["invoice"]
            ),
        ),
        OperationKind.CREATE_TAX_RATE: Kind(
            settle=tax_rates.settle_rate,
            fail=_nothing,  # the invoice that wanted it says why
            find=lambda operation: find_by_mark("/v1/tax_rates", operation),
        ),
    }
    kinds = {kind: Kind(settle=_nothing, fail=_nothing, find=find) for kind, find in found.items()}
    return {**kinds, **told}


def _of_promotions() -> dict[OperationKind, Kind]:
    return {
        OperationKind.CREATE_COUPON: Kind(
            settle=offers.settle_coupon, fail=offers.fail_offer, find=offers.find_coupon
        ),
        OperationKind.DELETE_COUPON: Kind(
            settle=offers.settle_coupon, fail=offers.fail_offer, find=offers.find_deleted
        ),
        OperationKind.CREATE_PROMOTION_CODE: Kind(
            settle=offers.settle_code, fail=offers.fail_offer, find=offers.find_code
        ),
        OperationKind.UPDATE_PROMOTION_CODE: Kind(
            settle=offers.settle_code, fail=offers.fail_offer, find=offers.find_inactive
        ),
    }


def _of_addresses() -> dict[OperationKind, Kind]:
    """Whoever wanted one reads the operation; our columns follow with the sync."""
    found = {
        OperationKind.UPDATE_CUSTOMER: billing_details.find_updated,
        OperationKind.ADD_TAX_ID: billing_details.find_tax_id,
        OperationKind.REMOVE_TAX_ID: billing_details.find_removed,
    }
    return {kind: Kind(settle=_nothing, fail=_nothing, find=find) for kind, find in found.items()}
