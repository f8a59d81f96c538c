"""Staff's wish to give money back: who asked, who agreed, the limits, and how far it is."""

from functools import partial

from django.contrib.auth.models import Group
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.operations import Operation
from billing.models.projections import Payment, Refund, Subscription
from keystore.ids import new_id
from keystore.models import Consumer, Project


class RefundLimit(models.Model):
    """Above this amount a second person must agree. Without a row every refund needs one."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="refund_limits")
    currency = models.CharField(max_length=3)
    approval_above_minor = models.BigIntegerField()  # 0: always

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "currency"], name="refund_limit_once_per_currency"
            ),
            models.CheckConstraint(
                condition=Q(approval_above_minor__gte=0), name="refund_limit_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[a-z]{3}$"), name="refund_limit_currency_is_iso"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project} {self.currency}"


class RefundBudget(models.Model):
    """What a role may give back per calendar month (UTC). Without a row: no cap."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="refund_budgets")
    role = models.ForeignKey(Group, models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    monthly_minor = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "role", "currency"], name="refund_budget_once_per_role"
            ),
            models.CheckConstraint(
                condition=Q(monthly_minor__gte=0), name="refund_budget_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[a-z]{3}$"), name="refund_budget_currency_is_iso"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.currency}"


class RefundBudgetUse(models.Model):
    """What a budget has given in one month. Taken by conditional update, like a payment's rest."""

    budget = models.ForeignKey(RefundBudget, models.PROTECT, related_name="uses")
    month = models.DateField()  # its first day
    cap_minor = models.BigIntegerField()  # the budget when it was last looked at
    used_minor = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["budget", "month"], name="refund_budget_use_once"),
            models.CheckConstraint(
                condition=Q(used_minor__gte=0), name="refund_budget_use_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget} {self.month:%Y-%m}"


class RequestState(models.TextChoices):
    AWAITING = "awaiting"  # a second person has to agree
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # Stripe refused the money; nothing moved
    REJECTED = "rejected"
    EXPIRED = "expired"  # nobody agreed in time


class AfterRefund(models.TextChoices):
    """What becomes of the subscription that was paid."""

    KEEP = "keep"
    CANCEL_NOW = "cancel_now"
    CANCEL_AT_PERIOD_END = "cancel_at_period_end"


OPEN_REQUESTS = (RequestState.AWAITING, RequestState.RUNNING)


class RefundRequest(models.Model):
    """One refund from the first click to its last effect; a crash resumes it where it was."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "rrq"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="refund_requests")
    consumer = models.ForeignKey(Consumer, models.PROTECT, related_name="refund_requests")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refund_requests")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.TextField()
    stripe_reason = models.CharField(max_length=30, blank=True)  # one of Stripe's words or ""
    ticket = models.CharField(max_length=100, blank=True)
    after = models.CharField(max_length=30, choices=AfterRefund, default=AfterRefund.KEEP)
    ends_access = models.BooleanField(default=False)  # although only a part is given back
    subscription = models.ForeignKey(
        Subscription, models.PROTECT, null=True, blank=True, related_name="+"
    )
    wish = models.CharField(max_length=60, unique=True, editable=False)  # a double click is one
    state = models.CharField(max_length=10, choices=RequestState, editable=False)
    requested_by = models.CharField(max_length=255)  # "staff:sam"
    decided_by = models.CharField(max_length=255, blank=True, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True, editable=False)
    decision_reason = models.TextField(blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)  # while awaiting
    budget_use = models.ForeignKey(
        RefundBudgetUse, models.PROTECT, null=True, related_name="+", editable=False
    )
    # The steps, each an object of its own; None: not begun.
    refund = models.OneToOneField(
        Refund, models.PROTECT, null=True, related_name="request", editable=False
    )
    cancel_operation = models.OneToOneField(
        Operation, models.PROTECT, null=True, related_name="+", editable=False
    )
    access_ended_at = models.DateTimeField(null=True, blank=True, editable=False)
    synced_at = models.DateTimeField(null=True, blank=True, editable=False)
    problem = models.TextField(blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    next_attempt_at = models.DateTimeField(default=now, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        permissions = [("approve_refund", "Can agree to another person's refund")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=RequestState.values), name="refund_request_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0), name="refund_request_is_positive"
            ),
            # One at a time: eight people who click at once make one request.
            models.UniqueConstraint(
                fields=["payment"],
                condition=Q(state__in=OPEN_REQUESTS),
                name="refund_request_once_open",
            ),
            # Four eyes: the second pair is never the first.
            models.CheckConstraint(
                condition=~Q(decided_by=F("requested_by")), name="refund_request_four_eyes"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state__in=OPEN_REQUESTS),
                name="refund_request_unfinished",
            ),
            models.Index(fields=["consumer", "-created_at"], name="refund_request_by_consumer"),
        ]

    def __str__(self) -> str:
        return self.public_id
