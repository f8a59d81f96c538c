"""What a project sells, as plain values: the same whether read from a file or from the tables."""

from dataclasses import dataclass, field


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
class PlanFeatureSpec:
    """What a plan gives of a feature. `limit` None: unlimited, or not a limit."""

    code: str
    limit: int | None = None
    config: object = None
    reset: str = "billing_period"
    enforcement: str = "hard"


@dataclass(frozen=True)
class Terms:
    """What a price costs. At Stripe it never changes: other terms are another price."""

    amount_minor: int
    currency: str
    interval: str = ""  # "" for one-off
    interval_count: int = 1
    kind: str = "recurring"

    def __str__(self) -> str:
        every = f" per {self.interval}" if self.interval else " once"
        if self.interval_count != 1:
            every = f" per {self.interval_count} {self.interval}s"
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
    features: tuple[PlanFeatureSpec, ...] = ()
    prices: tuple[PriceSpec, ...] = field(default=())

    @property
    def title(self) -> str:
        return self.name or self.code


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
    plans: tuple[PlanSpec, ...] = ()
