"""Money for people to read. What decides anything stays an int in the smallest unit."""

# Currencies whose smallest unit at Stripe is not a hundredth.
WITHOUT_DECIMALS = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"}
    | {"pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"}
)
WITH_THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def shown(amount_minor: int, currency: str) -> str:
    """1499, "usd" -> "14.99 USD"."""
    decimals = decimals_of(currency)
    sign = "-" if amount_minor < 0 else ""
    whole, rest = divmod(abs(amount_minor), 10**decimals)
    tail = f".{rest:0{decimals}}" if decimals else ""
    return f"{sign}{whole:,}{tail} {currency.upper()}"


def decimals_of(currency: str) -> int:
    """How many decimals people write: usd 2, jpy 0, kwd 3."""
    return 0 if currency in WITHOUT_DECIMALS else 3 if currency in WITH_THREE_DECIMALS else 2
