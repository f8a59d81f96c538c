"""Text without the names in it: enough to tell two people apart, too little to write to them."""

import re

ADDRESS = re.compile(r"([A-Za-z0-9._%+'-])[A-Za-z0-9._%+'-]*@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
NAMING_FIELDS = frozenset({"name", "phone", "line1", "line2", "postal_code", "city"})


def masked(text: str) -> str:
    """a***@example.com; text that is no address stays as it is."""
    name, at, domain = text.rpartition("@")
    return f"{name[:1]}***@{domain}" if at else text


def masked_in(text: str) -> str:
    """The text with every e-mail address in it masked."""
    return ADDRESS.sub(r"\1***@\2", text)


def masked_all(value: object) -> object:
    """JSON with every address in it masked, and what stands under the field of a name."""
    if isinstance(value, str):
        return masked_in(value)
    if isinstance(value, list):
        return [masked_all(one) for one in value]
    if isinstance(value, dict):
        return {key: _masked_field(key, one) for key, one in value.items()}
    return value


def _masked_field(name: object, value: object) -> object:
    if name in NAMING_FIELDS and isinstance(value, str) and value:
        return f"{value[:1]}***"
    return masked_all(value)
