"""What of Stripe's objects says who somebody is. Pure."""

from typing import Any

# Whatever stands under these, at any depth.
TELLING = frozenset(
    {
        *("email", "phone", "receipt_email", "billing_details", "shipping", "shipping_details"),
        *("address", "customer_details", "customer_email", "customer_name", "customer_phone"),
        *("customer_address", "customer_shipping", "customer_tax_ids", "individual_name"),
        *("business_name", "last4", "fingerprint", "iin", "evidence", "collected_information"),
        *("latchkey_user_id", "preferred_locales", "tax_ids"),
    }
)
OF_CUSTOMERS = TELLING | {"name", "description"}


def veil(found: Any) -> Any:
    """The object without what says who it was about: same fields, empty values."""
    if isinstance(found, list):
        return [veil(one) for one in found]
    if not isinstance(found, dict):
        return found
    telling = OF_CUSTOMERS if found.get("object") == "customer" else TELLING
    return {
        name: emptied(value) if name in telling else veil(value) for name, value in found.items()
    }


def emptied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: emptied(one) for name, one in value.items()}
    if isinstance(value, list):
        return []
    return None
