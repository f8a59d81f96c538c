"""What a project sells, as plain values: the same whether read from a file or from the tables."""

from dataclasses import dataclass, field

from billing.promotions.terms import CodeTerms, CouponTerms

USUAL_THRESHOLDS = (80, 100)


@dataclass(frozen=True)
class ApiSpec:
    code: str
    name: str = ""


@dataclass(frozen=True)
class FeatureSpec:
    code: str
    name: str = ""
    kind: str = "boolean"


@dataclass(frozen=True)
class MeterSpec:
    """What is counted. `stripe_event_name` "": its usage is not reported to Stripe."""

    code: str
    name: str = ""
    unit: str = ""
    aggregation: str = "sum"
    value_property: str = ""
    feature: str = ""  # whose limit it consumes; "": none
    dimensions: tuple[str, ...] = ()
    thresholds: tuple[int, ...] = USUAL_THRESHOLDS
    stripe_event_name: str = ""


@dataclass(frozen=True)
class PlanFeatureSpec:
    """What a plan gives of a feature. `limit` None: unlimited, or not a limit."""

    code: str
    limit: int | None = None
    config: object = None
    reset: str = "billing_period"
    enforcement: str = "hard"


@dataclass(frozen=True)
class Tier:
    """Up to how many units (None: any number) each costs so much, and once `flat_amount`."""

    up_to: int | None
    unit_amount: str = "0"
    flat_amount: str = "0"


@dataclass(frozen=True)
class UsageTerms:
    """What usage costs. Amounts are exact decimals of the currency's smallest unit, as text.

    `meter` is the event name that Stripe's meter listens to. Without tiers each unit costs
    `unit_amount`; with `divide_by` each package of so many does.
    """

    meter: str
    unit_amount: str = ""
    tiers_mode: str = ""  # graduated or volume; "": no tiers
    tiers: tuple[Tier, ...] = ()
    divide_by: int = 1
    round: str = "up"

    def __str__(self) -> str:
        what = f"{self.tiers_mode} tiers" if self.tiers else self.unit_amount
        unit = self.meter if self.divide_by == 1 else f"{self.divide_by} {self.meter}"
        return f"{what} per {unit}"


@dataclass(frozen=True)
class Terms:
    """What a price costs. At Stripe it never changes: other terms are another price.

    With `usage` it is metered, and `amount_minor` is the whole part of what a unit costs.
    """

    amount_minor: int
    currency: str
    interval: str = ""  # "" for one-off
    interval_count: int = 1
    kind: str = "recurring"
    usage: UsageTerms | None = None

    def __str__(self) -> str:
        every = f" per {self.interval}" if self.interval else " once"
        if self.interval_count != 1:
            every = f" per {self.interval_count} {self.interval}s"
        if self.usage:
            return f"{self.currency} {self.usage}, billed{every}"
        return f"{self.amount_minor} {self.currency}{every}"


@dataclass(frozen=True)
class PriceSpec:
    """A price on sale. `lookup_key` is its name at Stripe, and passes to its successor.

    `is_adopted`: the price exists at Stripe and its terms there count, not those of the file.
    """

    lookup_key: str
    terms: Terms
    stripe_id: str = ""
    is_adopted: bool = False
    trial_days: int = 0  # for nothing, before the first period; kept here, not at Stripe
    tax_behavior: str = ""  # inclusive or exclusive; "": as it is at Stripe


@dataclass(frozen=True)
class PlanSpec:
    code: str
    name: str = ""
    rank: int = 0
    api: str = ""  # "": of no API
    limit_per_minute: int | None = None  # None: unlimited
    issues_key: bool = True
    allows_many: bool = False
    public: bool = True
    tax_code: str = ""  # Stripe's word for what it is; "": as it is at Stripe
    features: tuple[PlanFeatureSpec, ...] = ()
    prices: tuple[PriceSpec, ...] = field(default=())

    @property
    def title(self) -> str:
        return self.name or self.code


@dataclass(frozen=True)
class CouponSpec:
    """A coupon, and the codes that stand for it."""

    terms: CouponTerms
    codes: tuple[CodeTerms, ...] = ()


@dataclass(frozen=True)
class ProjectSpec:
    """`number` is wished for when the project is made; None: any."""

    slug: str
    name: str = ""
    number: int | None = None
    allowed_origins: tuple[str, ...] = ()
    grace_days: int = 7
    apis: tuple[ApiSpec, ...] = ()
    features: tuple[FeatureSpec, ...] = ()
    meters: tuple[MeterSpec, ...] = ()
    plans: tuple[PlanSpec, ...] = ()
    coupons: tuple[CouponSpec, ...] = ()
