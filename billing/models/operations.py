"""Every write to Stripe is a row first."""

from functools import partial

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from keystore.ids import new_id
from keystore.models import Project


class OperationKind(models.TextChoices):
    CREATE_CUSTOMER = "create_customer"
    DELETE_CUSTOMER = "delete_customer"
    CREATE_CHECKOUT = "create_checkout"
    EXPIRE_CHECKOUT = "expire_checkout"
    CREATE_PORTAL = "create_portal"
    CANCEL_SUBSCRIPTION = "cancel_subscription"
    UPDATE_SUBSCRIPTION = "update_subscription"
    CREATE_SUBSCRIPTION = "create_subscription"
    RESUME_SUBSCRIPTION = "resume_subscription"
    SET_DEFAULT_CARD = "set_default_card"
    DETACH_CARD = "detach_card"
    ATTACH_CARD = "attach_card"
    CREATE_SETUP = "create_setup"
    VOID_INVOICE = "void_invoice"
    PAY_INVOICE = "pay_invoice"
    GIVE_UP_INVOICE = "give_up_invoice"
    CREATE_INVOICE = "create_invoice"
    ADD_INVOICE_LINES = "add_invoice_lines"
    SEND_INVOICE = "send_invoice"
    DELETE_INVOICE = "delete_invoice"
    CREATE_TAX_RATE = "create_tax_rate"
    CREATE_CREDIT_NOTE = "create_credit_note"
    VOID_CREDIT_NOTE = "void_credit_note"
    CREATE_OVERRIDE = "create_override"
    REFUND = "refund"
    UPDATE_CUSTOMER = "update_customer"
    ADD_TAX_ID = "add_tax_id"
    REMOVE_TAX_ID = "remove_tax_id"
    CREATE_COUPON = "create_coupon"
    DELETE_COUPON = "delete_coupon"
    CREATE_PROMOTION_CODE = "create_promotion_code"
    UPDATE_PROMOTION_CODE = "update_promotion_code"
    CREATE_PRODUCT = "create_product"
    UPDATE_PRODUCT = "update_product"
    CREATE_PRICE = "create_price"
    UPDATE_PRICE = "update_price"
    CREATE_FEATURE = "create_feature"
    ATTACH_FEATURE = "attach_feature"
    CREATE_METER = "create_meter"
    UPDATE_METER = "update_meter"
    CREATE_ACCOUNT = "create_account"
    CREATE_ACCOUNT_LINK = "create_account_link"
    TRANSFER = "transfer"
    REVERSE_TRANSFER = "reverse_transfer"
    PAY_OUT = "pay_out"


class OperationState(models.TextChoices):
    WANTED = "wanted"  # committed, not sent yet
    SENT = "sent"  # being sent by whoever holds the lease
    UNKNOWN = "unknown"  # the reply was lost: only Stripe knows
    DONE = "done"
    FAILED = "failed"  # Stripe refused it, or it surely did not happen


OPEN_STATES = (OperationState.WANTED, OperationState.SENT, OperationState.UNKNOWN)


class Operation(models.Model):
    """The intent to change one thing at Stripe, and what became of it.

    `subject` names the Stripe object whose state it changes ("pi_...", "sub_..."); at most one
    unfinished operation per subject, so that an unknown outcome blocks the next try.
    """

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "op"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="operations")
    kind = models.CharField(max_length=30, choices=OperationKind)
    subject = models.CharField(max_length=255, blank=True)  # "": creates something new
    path = models.CharField(max_length=255)  # "/v1/refunds"
    method = models.CharField(max_length=6, default="post")
    params = models.JSONField()  # what is sent to Stripe; never a secret
    # The connected account on whose behalf it is sent; "": our own.
    stripe_account = models.CharField(max_length=255, blank=True)
    state = models.CharField(
        max_length=10, choices=OperationState, default=OperationState.WANTED, editable=False
    )
    attempts = models.PositiveIntegerField(default=0, editable=False)
    # Counts the idempotency keys used: a new one only after Stripe was seen not to have done it.
    epoch = models.PositiveIntegerField(default=1, editable=False)
    answered_5xx = models.BooleanField(default=False, editable=False)  # saved under that key
    # While in the future, somebody is at it; in the past, the janitor may take it.
    lease_until = models.DateTimeField(null=True, editable=False)
    next_attempt_at = models.DateTimeField(default=now, editable=False)
    first_sent_at = models.DateTimeField(null=True, editable=False)
    stripe_object_id = models.CharField(max_length=255, blank=True, editable=False)  # the outcome
    error = models.TextField(blank=True, editable=False)
    error_code = models.CharField(max_length=60, blank=True, editable=False)  # Stripe's, if any
    actor = models.CharField(max_length=255)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            # Money never moves twice: a second operation on the object waits or is refused.
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=~Q(subject="") & Q(state__in=OPEN_STATES),
                name="operation_once_per_subject",
            ),
            models.CheckConstraint(
                condition=Q(state__in=OperationState.values), name="operation_state_is_known"
            ),
        ]
        indexes = [
            # The janitor's claim.
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state__in=OPEN_STATES),
                name="operation_unfinished",
            ),
            # What was done to one object, newest first.
            models.Index(fields=["subject", "-created_at"], name="operation_by_subject"),
            # From an event or a request to what it made at Stripe.
            models.Index(
                fields=["request_id"], condition=~Q(request_id=""), name="operation_by_request"
            ),
            models.Index(
                fields=["finished_at"], condition=Q(state="failed"), name="operation_failed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.public_id}"

    @property
    def idempotency_key(self) -> str:
        """Stripe's Idempotency-Key: the same for every try of this row, for no other row."""
        return f"latchkey:{self.kind}:{self.public_id}:{self.epoch}"
