"""What metered usage costs by a price's terms. Pure; Stripe's invoice is the last word."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

from billing.catalog_spec import Tier, UsageTerms

ZERO = Decimal(0)


def cost_minor(terms: UsageTerms, used: Decimal) -> int:
    """In the currency's smallest unit, rounded half up. What was taken back costs nothing."""
    cost = _cost(terms, max(used, ZERO))
    return int(cost.quantize(Decimal(1), ROUND_HALF_UP))


def _cost(terms: UsageTerms, used: Decimal) -> Decimal:
    if terms.divide_by != 1:
        rounding = ROUND_CEILING if terms.round == "up" else ROUND_FLOOR
        used = (used / terms.divide_by).to_integral_value(rounding)
    if not terms.tiers:
        return used * Decimal(terms.unit_amount)
    if terms.tiers_mode == "volume":
        return _of_tier(_tier_of(terms.tiers, used), used)
    return _graduated(terms.tiers, used)


def _tier_of(tiers: tuple[Tier, ...], used: Decimal) -> Tier:
    fitting = (tier for tier in tiers if tier.up_to is None or used <= tier.up_to)
    return next(fitting, tiers[-1])


def _graduated(tiers: tuple[Tier, ...], used: Decimal) -> Decimal:
    cost, below = ZERO, ZERO
    for tier in tiers:
        top = used if tier.up_to is None else min(used, Decimal(tier.up_to))
        # Stripe asks for the first tier's flat amount also when nothing was used.
        if top > below or (below == 0 and tier is tiers[0]):
            cost += _of_tier(tier, top - below)
        below = max(below, top)
    return cost


def _of_tier(tier: Tier, units: Decimal) -> Decimal:
    return units * Decimal(tier.unit_amount) + Decimal(tier.flat_amount)
