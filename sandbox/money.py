"""Amounts as people read them: Stripe's currencies have two decimals, none, or three."""

ZERO_DECIMAL = {
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv",
    "xaf", "xof", "xpf",
}  # fmt: skip
THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}
WHOLE_UNITS = {"isk", "ugx"}  # written in hundredths, yet nothing but whole units is charged
PAID_OUT_WHOLE = {"huf", "isk", "twd", "ugx"}
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩"}


def decimals(currency: str) -> int:
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def step(currency: str, *, to_bank: bool = False) -> int:
    """What an amount must be a multiple of, charged or paid out."""
    if currency in (PAID_OUT_WHOLE if to_bank else WHOLE_UNITS):
        return 100
    return 10 if currency in THREE_DECIMAL else 1


def nearest(amount: int, currency: str) -> int:
    """What an invoice of the amount asks for: the rest goes to the customer's balance."""
    unit = step(currency)
    return (amount + unit // 2) // unit * unit


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
