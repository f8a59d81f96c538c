"""Money for people to read and write. What decides anything stays an int in the smallest unit."""

from decimal import Decimal, InvalidOperation

from config.errors import InvalidInput

# Currencies whose smallest unit at Stripe is not a hundredth.
WITHOUT_DECIMALS = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"}
    | {"pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
)
WITH_THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
# Written in hundredths at Stripe, yet only whole units change hands: 5 UGX is 500.
WHOLE_UNITS = frozenset({"isk", "ugx"})
LONGEST = 20  # characters that people type for an amount
LARGEST = 2**63 - 1  # that a column holds


class NotAnAmount(InvalidInput):
    code = "not_an_amount"


def decimals_of(currency: str) -> int:
    return 0 if currency in WITHOUT_DECIMALS else 3 if currency in WITH_THREE_DECIMALS else 2


def step_of(currency: str) -> int:
    """What Stripe charges and refunds in: an amount is a multiple of it."""
    return 100 if currency in WHOLE_UNITS else 10 if currency in WITH_THREE_DECIMALS else 1


def refuse_parts(amount_minor: int, currency: str) -> None:
    """Raises NotAnAmount for parts of a unit that Stripe does not move in the currency."""
    if amount_minor % step_of(currency) == 0:
        return
    if currency in WHOLE_UNITS:
        raise NotAnAmount(f"{currency.upper()} has whole units only: the decimals must be 00.")
    raise NotAnAmount(f"The last of the three decimals of {currency.upper()} must be 0.")


def shown(amount_minor: int, currency: str) -> str:
    """1499, "usd" -> "14.99 USD"."""
    whole, tail = _parts(amount_minor, currency)
    return f"{_sign(amount_minor)}{whole:,}{tail} {currency.upper()}"


def typed(amount_minor: int, currency: str) -> str:
    """1499, "usd" -> "14.99": what a form is filled with, and what `minor_of` reads."""
    whole, tail = _parts(amount_minor, currency)
    return f"{_sign(amount_minor)}{whole}{tail}"


def minor_of(text: str, currency: str) -> int:
    """ "14.99", "usd" -> 1499. Raises NotAnAmount for what the currency cannot express."""
    decimals = decimals_of(currency)
    plain = text.strip()
    if len(plain) > LONGEST or not plain.isascii() or set(plain) - set("0123456789."):
        raise _odd(currency)
    try:
        minor = Decimal(plain).scaleb(decimals)
    except InvalidOperation as problem:
        raise _odd(currency) from problem
    if minor != minor.to_integral_value() or minor > LARGEST:
        raise _odd(currency)
    refuse_parts(int(minor), currency)
    return int(minor)


def _odd(currency: str) -> NotAnAmount:
    about = 1230 * 10 ** decimals_of(currency) // 100
    example = typed(about - about % step_of(currency), currency)
    return NotAnAmount(f"Write an amount of {currency.upper()} like {example}.")


def _parts(amount_minor: int, currency: str) -> tuple[int, str]:
    decimals = decimals_of(currency)
    whole, rest = divmod(abs(amount_minor), 10**decimals)
    return whole, f".{rest:0{decimals}}" if decimals else ""


def _sign(amount_minor: int) -> str:
    return "-" if amount_minor < 0 else ""
