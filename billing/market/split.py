"""How money is divided so that the parts always add up to the whole. Pure; smallest units only."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from fractions import Fraction

WHOLE = 10_000  # basis points


@dataclass(frozen=True)
class Parts:
    """What of a sale is whose. Tax and Stripe's fee are 0 where somebody else bears them."""

    gross_minor: int = 0
    tax_minor: int = 0
    commission_minor: int = 0
    stripe_fee_minor: int = 0

    @property
    def net_minor(self) -> int:
        """What the creator earns."""
        return self.gross_minor - self.tax_minor - self.commission_minor - self.stripe_fee_minor

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __neg__(self) -> "Parts":
        return Parts(*(-each for each in astuple(self)))

    def __sub__(self, other: "Parts") -> "Parts":
        return self + -other


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` divided in proportion to the weights, by largest remainder: they sum to `total`.

    Weights may be negative (a credit on an invoice). When they add up to nothing, nothing says
    whose the money is: ValueError.
    """
    whole = sum(weights)
    if whole == 0:
        raise ValueError("the weights add up to nothing")
    exact = [Fraction(total * weight, whole) for weight in weights]
    floors = [value.numerator // value.denominator for value in exact]
    left = total - sum(floors)
    by_rest = sorted(range(len(exact)), key=lambda place: (floors[place] - exact[place], place))
    for place in by_rest[:left]:
        floors[place] += 1
    return floors


def part_of(amount: int, taken: int, total: int) -> int:
    """What of `amount` belongs to `taken` of `total`: half away from zero, all of it at the end.

    For each further part take the difference to what was taken before: whatever the order and
    number of the parts, they sum to the whole.
    """
    if taken >= total:
        return amount
    return rounded(Fraction(amount * max(taken, 0), total))


def rounded(value: Fraction) -> int:
    """To the whole unit, a half away from zero."""
    half = Fraction(1, 2)
    return int(value + half) if value >= 0 else -int(-value + half)


def taken_back(sale: Parts, taken: int, captured: int) -> Parts:
    """Of a sale, what goes back when `taken` of the `captured` payment did. All: the sale."""
    return Parts(*(part_of(each, taken, captured) for each in astuple(sale)))


def sale_parts(*, gross: int, tax: int, basis_points: int, stripe_fee: int) -> Parts:
    """Commission is taken of what remains after tax."""
    commission = rounded(Fraction((gross - tax) * basis_points, WHOLE))
    return Parts(gross, tax, commission, stripe_fee)
