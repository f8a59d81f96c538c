"""Amounts as people read them: Stripe's currencies have two decimals, none, or three."""

ZERO_DECIMAL = {
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv",
    "xaf", "xof", "xpf",
}  # fmt: skip
THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩"}


def decimals(currency: str) -> int:
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def plain(amount: int, currency: str) -> str:
    """1499, usd -> 14.99"""
    places = decimals(currency)
    whole, part = divmod(abs(amount), 10**places)
    text = f"{whole:,}" + (f".{part:0{places}d}" if places else "")
    return f"-{text}" if amount < 0 else text


def show(amount: int, currency: str) -> str:
    """1499, usd -> $14.99; 1499, chf -> CHF 14.99"""
    sign = "-" if amount < 0 else ""
    before = SYMBOLS.get(currency, f"{currency.upper()} ")
    return f"{sign}{before}{plain(abs(amount), currency)}"
