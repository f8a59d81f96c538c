"""The marketplace: creators, what they list and earn, and how they are paid out."""

from functools import partial

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from billing.models.catalog import Price
from billing.models.operations import Operation
from billing.models.projections import Payment
from entitlements.models import Plan
from keystore.ids import new_id
from keystore.models import Api, Consumer, Project

WHOLE = 10_000  # basis points


class FeeBearer(models.TextChoices):
    PLATFORM = "platform"
    CREATOR = "creator"


class PayoutInterval(models.TextChoices):
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    MANUAL = "manual"


class MarketPolicy(models.Model):
    """How one project shares and pays out what its creators sell."""

    project = models.OneToOneField(Project, models.PROTECT, related_name="market_policy")
    # Who bears what Stripe takes for a payment, if it takes it in the payment's currency.
    stripe_fee = models.CharField(max_length=10, choices=FeeBearer, default=FeeBearer.PLATFORM)
    interval = models.CharField(
        max_length=10, choices=PayoutInterval, default=PayoutInterval.MONTHLY
    )
    # Weekly: 1 (Monday) to 7. Monthly: 1 to 28, a day that every month has.
    day = models.PositiveSmallIntegerField(default=1)

    class Meta:
        verbose_name_plural = "market policies"
        permissions = [("set_market_terms", "Can set a project's payout schedule and minimums")]
        constraints = [
            models.CheckConstraint(
                condition=Q(stripe_fee__in=FeeBearer.values), name="market_fee_bearer_is_known"
            ),
            models.CheckConstraint(
                condition=Q(interval="weekly", day__range=(1, 7))
                | Q(interval="monthly", day__range=(1, 28))
                | Q(interval="manual"),
                name="market_day_is_in_the_interval",
            ),
        ]

    def __str__(self) -> str:
        return f"market policy of {self.project}"


class PayoutMinimum(models.Model):
    """What must be there in a currency before it is paid out. Without a row: more than nothing."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="payout_minimums")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField(validators=[MinValueValidator(1)])

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "currency"], name="payout_minimum_once_per_currency"
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0), name="payout_minimum_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount_minor} {self.currency}"


class CreatorState(models.TextChoices):
    NEW = "new"  # no account at Stripe yet
    ONBOARDING = "onboarding"  # Stripe wants to know more
    ACTIVE = "active"  # can be paid
    DISABLED = "disabled"  # Stripe stopped it; disabled_reason says why


class Creator(models.Model):
    """A consumer who sells APIs. Stripe's part is a copy of the account as it was last read."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "crt"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="creators")
    consumer = models.OneToOneField(Consumer, models.PROTECT, related_name="creator")
    country = models.CharField(max_length=2)
    currency = models.CharField(max_length=3)  # in which they like to see their prices
    stripe_account_id = models.CharField(max_length=255, blank=True, editable=False)
    state = models.CharField(
        max_length=10, choices=CreatorState, default=CreatorState.NEW, editable=False
    )
    payouts_enabled = models.BooleanField(default=False, editable=False)
    requirements = models.JSONField(default=list, editable=False)  # what Stripe asks for now
    disabled_reason = models.CharField(max_length=100, blank=True, editable=False)
    # Staff hold payouts back since then. None: they go by the schedule.
    payouts_paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    read_at = models.DateTimeField(null=True, editable=False)  # the account, at Stripe
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        permissions = [
            ("pause_creator", "Can pause a creator's payouts"),
            ("pay_creator", "Can pay a creator out now"),
            ("adjust_creator", "Can adjust a creator's balance"),
            ("set_commission", "Can change a commission"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["stripe_account_id"],
                condition=~Q(stripe_account_id=""),
                name="creator_once_per_account",
            ),
            models.CheckConstraint(
                condition=Q(state__in=CreatorState.values), name="creator_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(payouts_enabled=False) | ~Q(stripe_account_id=""),
                name="creator_is_paid_into_an_account",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class ApiListing(models.Model):
    """An API that a creator sells."""

    api = models.OneToOneField(Api, models.PROTECT, related_name="listing")
    creator = models.ForeignKey(Creator, models.PROTECT, related_name="listings")
    description = models.TextField(blank=True)
    published_at = models.DateTimeField(null=True, blank=True)  # None: nobody sees it yet
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = "API listing"
        verbose_name_plural = "API listings"

    def __str__(self) -> str:
        return str(self.api)


class OfferKind(models.TextChoices):
    FREE = "free"
    SUBSCRIPTION = "subscription"
    ONE_OFF = "one_off"
    PAY_PER_USE = "pay_per_use"
    TIERS = "tiers"


class PlanOffer(models.Model):
    """A plan that a creator made. The catalogue file leaves such plans alone."""

    plan = models.OneToOneField(Plan, models.PROTECT, related_name="offer")
    kind = models.CharField(max_length=12, choices=OfferKind)
    operation = models.OneToOneField(Operation, models.PROTECT, related_name="offer")
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=OfferKind.values), name="offer_kind_is_known"
            ),
        ]

    def __str__(self) -> str:
        return str(self.plan)


class Commission(models.Model):
    """What the platform keeps of sales from an instant on. Narrower wins: API, creator, project."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "com"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="commissions")
    creator = models.ForeignKey(
        Creator, models.PROTECT, null=True, blank=True, related_name="commissions"
    )
    api = models.ForeignKey(Api, models.PROTECT, null=True, blank=True, related_name="commissions")
    basis_points = models.PositiveIntegerField(validators=[MaxValueValidator(WHOLE)])
    effective_from = models.DateTimeField()
    set_by = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(basis_points__lte=WHOLE), name="commission_is_a_part"
            ),
            models.CheckConstraint(
                condition=Q(api=None) | Q(creator=None), name="commission_has_one_scope"
            ),
            models.UniqueConstraint(
                fields=["project", "creator", "api", "effective_from"],
                name="commission_once_per_instant",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.basis_points / 100:g} %"


class PayoutState(models.TextChoices):
    WANTED = "wanted"  # off the balance; the transfer has no outcome yet
    TRANSFERRED = "transferred"  # in the creator's Stripe account
    PAYING = "paying"  # on its way to their bank
    PAID = "paid"
    RETURNING = "returning"  # the bank or Stripe refused: the transfer is taken back
    RETURNED = "returned"  # on the balance again
    FAILED = "failed"  # nothing was transferred; on the balance again


OPEN_PAYOUTS = (
    PayoutState.WANTED,
    PayoutState.TRANSFERRED,
    PayoutState.PAYING,
    PayoutState.RETURNING,
)


class Payout(models.Model):
    """Money on its way to a creator: a transfer to their account, then a payout from it."""

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "pyo"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="payouts")
    creator = models.ForeignKey(Creator, models.PROTECT, related_name="payouts")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    state = models.CharField(max_length=12, choices=PayoutState, default=PayoutState.WANTED)
    # The run of the schedule that it belongs to; "": staff began it.
    period = models.CharField(max_length=20, blank=True)
    operation = models.OneToOneField(Operation, models.PROTECT, related_name="payout")
    stripe_transfer_id = models.CharField(max_length=255, blank=True)
    stripe_payout_id = models.CharField(max_length=255, blank=True)
    problem = models.TextField(blank=True)
    looked_at = models.DateTimeField(default=now)  # when its next step was last tried
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="payout_is_positive"),
            models.CheckConstraint(
                condition=Q(state__in=PayoutState.values), name="payout_state_is_known"
            ),
            models.UniqueConstraint(
                fields=["creator", "currency"],
                condition=Q(state__in=OPEN_PAYOUTS),
                name="payout_one_open_per_currency",
            ),
            # The schedule pays once per period, whoever rings.
            models.UniqueConstraint(
                fields=["creator", "currency", "period"],
                condition=~Q(period="") & ~Q(state__in=("failed", "returned")),
                name="payout_once_per_period",
            ),
            models.CheckConstraint(
                condition=Q(state__in=OPEN_PAYOUTS, finished_at=None)
                | ~Q(state__in=OPEN_PAYOUTS) & Q(finished_at__isnull=False),
                name="payout_ends_with_its_state",
            ),
        ]
        indexes = [
            models.Index(
                fields=["looked_at"], condition=Q(state__in=OPEN_PAYOUTS), name="payout_open"
            ),
            models.Index(
                fields=["stripe_payout_id"],
                condition=~Q(stripe_payout_id=""),
                name="payout_by_stripe",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class EarningKind(models.TextChoices):
    SALE = "sale"
    STRIPE_FEE = "stripe_fee"  # told after the sale was written
    REFUND = "refund"
    REFUND_FAILED = "refund_failed"
    DISPUTE = "dispute"
    DISPUTE_WON = "dispute_won"
    PAYOUT = "payout"
    PAYOUT_FAILED = "payout_failed"
    ADJUSTMENT = "adjustment"


class Earning(models.Model):
    """One line of a creator's ledger. Only added to; a trigger refuses anything else.

    `amount_minor` is what the balance moves by: gross less tax, commission and Stripe's fee.
    """

    public_id = models.CharField(max_length=40, unique=True, default=partial(new_id, "ern"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="earnings")
    creator = models.ForeignKey(Creator, models.PROTECT, related_name="earnings")
    kind = models.CharField(max_length=14, choices=EarningKind)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    gross_minor = models.BigIntegerField(default=0)
    tax_minor = models.BigIntegerField(default=0)
    commission_minor = models.BigIntegerField(default=0)
    stripe_fee_minor = models.BigIntegerField(default=0)
    # Of a payment: how much more of it is taken back by this line. 0 for its sale.
    taken_minor = models.BigIntegerField(default=0)
    # Of a sale: its creator bears Stripe's fee, which Stripe had not told yet.
    awaits_fee = models.BooleanField(default=False)
    # None of these for payouts and adjustments.
    api = models.ForeignKey(Api, models.PROTECT, null=True, related_name="earnings")
    price = models.ForeignKey(Price, models.PROTECT, null=True, related_name="earnings")
    consumer = models.ForeignKey(Consumer, models.PROTECT, null=True, related_name="+")
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, related_name="earnings")
    payout = models.ForeignKey(Payout, models.PROTECT, null=True, related_name="earnings")
    source = models.CharField(max_length=255)  # the charge, refund, dispute, payout or adjustment
    step = models.PositiveSmallIntegerField(default=0)  # counts the lines of one source
    reason = models.TextField(blank=True)
    # Of a sale by an invoice: [start, end) of what the line bills. None: it did not say.
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [
            # Written once, whoever heard of it and however often.
            models.UniqueConstraint(
                fields=["source", "step", "price"],
                name="earning_once_per_source",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(kind__in=EarningKind.values), name="earning_kind_is_known"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=("payout", "payout_failed", "adjustment"), payment=None)
                | Q(
                    kind__in=(
                        *("sale", "stripe_fee", "refund", "refund_failed"),
                        *("dispute", "dispute_won"),
                    ),
                    payment__isnull=False,
                    price__isnull=False,
                    amount_minor=F("gross_minor")
                    - F("tax_minor")
                    - F("commission_minor")
                    - F("stripe_fee_minor"),
                ),
                name="earning_parts_add_up",
            ),
            models.CheckConstraint(
                condition=Q(kind="payout", amount_minor__lt=0, payout__isnull=False)
                | Q(kind="payout_failed", amount_minor__gt=0, payout__isnull=False)
                | ~Q(kind__in=("payout", "payout_failed")),
                name="earning_payout_has_its_sign",
            ),
        ]
        indexes = [
            models.Index(fields=["creator", "currency", "occurred_at"], name="earning_by_creator"),
            models.Index(fields=["api", "occurred_at"], name="earning_by_api"),
            models.Index(fields=["payment"], name="earning_by_payment"),
        ]

    def __str__(self) -> str:
        return self.public_id
