"""Which currency a buyer pays in, and which price of a plan that means."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing import access
from billing.models import BillingPolicy, Price, PriceKind, StripeCustomer, Subscription
from config.errors import Conflict, DomainError
from keystore.models import Consumer, Project

EURO = frozenset(
    {"AT", "BE", "CY", "DE", "EE", "ES", "FI", "FR", "GR", "HR", "IE", "IT"}
    | {"LT", "LU", "LV", "MT", "NL", "PT", "SI", "SK"}
)
OF_COUNTRY = {
    "US": "usd", "GB": "gbp", "CH": "chf", "JP": "jpy", "CA": "cad", "AU": "aud", "NZ": "nzd",
    "SE": "sek", "NO": "nok", "DK": "dkk", "PL": "pln", "CZ": "czk", "HU": "huf", "RO": "ron",
    "BG": "bgn", "IN": "inr", "BR": "brl", "MX": "mxn", "SG": "sgd", "HK": "hkd", "KR": "krw",
    "AE": "aed", "KW": "kwd", "BH": "bhd", "ZA": "zar", "IL": "ils", "TR": "try", "TH": "thb",
}  # fmt: skip


class CurrencyFixed(Conflict):
    """Stripe takes one currency per customer, for as long as a subscription runs in it."""

    code = "currency_fixed"


class NoPriceInCurrency(DomainError):
    """The plan is not sold in the currency that counts."""

    code = "no_price_in_currency"
    status = 422


@dataclass(frozen=True)
class Currency:
    """`fixed`: no other one can be taken. `why`: subscription, asked, customer, country, project;
    "" when nothing says one.
    """

    code: str
    why: str
    fixed: bool = False


def currency_of(
    *, project: Project, consumer: Consumer | None, asked: str = "", country: str = ""
) -> list[Currency]:
    """The currencies that come into question, the one that counts first.

    Raises CurrencyFixed when another one is asked for than Stripe has fixed.
    """
    held = held_by(consumer)
    if held:
        if asked and asked != held:
            raise _fixed(held, asked)
        return [Currency(held, "subscription", fixed=True)]
    if asked:
        return [Currency(asked, "asked", fixed=True)]
    holder = StripeCustomer.objects.filter(consumer=consumer, deleted_at=None).first()
    policy = BillingPolicy.objects.filter(project=project).first()
    lives_in = of_country((holder.country if holder else "") or country)
    found = (
        Currency(holder.currency if holder else "", "customer"),
        Currency(lives_in, "country"),
        Currency(policy.currency if policy else "", "project"),
    )
    return [one for one in found if one.code]


def held_by(consumer: Consumer | None) -> str:
    """The currency of what runs; "" when nothing does."""
    if consumer is None:
        return ""
    live = Subscription.objects.filter(consumer=consumer).exclude(status__in=access.ENDED)
    return live.values_list("currency", flat=True).order_by("-pk").first() or ""


def of_country(country: str) -> str:
    known = country.upper()
    return "eur" if known in EURO else OF_COUNTRY.get(known, "")


def _fixed(held: str, asked: str) -> CurrencyFixed:
    return CurrencyFixed(
        f"This customer pays in {held.upper()}: Stripe takes no second currency while a "
        f"subscription runs. Leave the currency out or send {held}; to pay in {asked.upper()}, "
        "let what runs end first."
    )


def pick(rows: Sequence[Price], wanted: Sequence[Currency]) -> Price:
    """Of the prices of one plan, best first, the one in the currency that counts.

    Raises NoPriceInCurrency when one is fixed and the plan has none in it.
    """
    for one in wanted:
        fitting = [row for row in rows if row.currency == one.code]
        if fitting:
            return fitting[0]
        if one.fixed:
            raise _none_in(rows, one)
    return rows[0]


def _none_in(rows: Sequence[Price], wanted: Currency) -> NoPriceInCurrency:
    sold = ", ".join(dict.fromkeys(row.currency for row in rows))
    fix = f"Send one of these currencies: {sold}."
    if wanted.why == "subscription":
        fix = "Choose another plan, or let the subscriptions that run end first."
    return NoPriceInCurrency(
        f"{rows[0].plan} is not sold in {wanted.code.upper()}, only in {sold}. {fix}",
        errors=[{"location": "body.currency", "message": f"Sold in {sold}.", "fix": fix}],
    )


def refuse_other(price: Price, consumer: Consumer | None, asked: str) -> None:
    """A price that is named must be in the currency that counts. What is paid once may be in any.

    Raises CurrencyFixed, NoPriceInCurrency.
    """
    if asked and asked != price.currency:
        raise _none_in([price], Currency(asked, "asked"))
    held = held_by(consumer)
    if price.kind == PriceKind.ONE_OFF or not held or held == price.currency:
        return
    twin = Price.objects.filter(
        plan=price.plan_id, currency=held, active=True, only_for=None, kind=price.kind
    ).first()
    hint = f" Send price_id {twin}." if twin else ""
    raise CurrencyFixed(f"{_fixed(held, price.currency).message}{hint}")
