"""Checkout sessions: opened, expired, and what they say while they wait for the buyer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sandbox.engine import payments, renewals, tax
from sandbox.engine.basket import make_items, redeem, write_sums
from sandbox.engine.cards import client_secret
from sandbox.errors import StripeError, invalid
from sandbox.registry import Due, timer
from sandbox.shapes import fill, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

KIND = "checkout.session"
DAY = 86_400
SHORTEST_SECONDS = 30 * 60
# Parameters that only make sense in these modes.
ONLY_IN = {
    "subscription_data": ("subscription",),
    "payment_intent_data": ("payment",),
    "setup_intent_data": ("setup",),
    "invoice_creation": ("payment",),
    "customer_creation": ("payment", "setup"),
    "payment_method_collection": ("subscription",),
    "submit_type": ("payment",),
}


def open_session(sandbox: Sandbox, given: dict[str, Any]) -> Object:
    """`given` are the parameters of POST /v1/checkout/sessions."""
    mode = given.get("mode") or "payment"
    customer = _check(sandbox, given, mode)
    at = sandbox.now(customer)
    session = fill(KIND, {n: v for n, v in given.items() if n not in ("discounts", "line_items")})
    session.update(
        id=new_id(KIND),
        created=at,
        expires_at=_expiry(given, at),
        mode=mode,
        payment_method_types=given.get("payment_method_types") or ["card"],
        payment_status="no_payment_required" if mode == "setup" else "unpaid",
        status="open",
        ui_mode=given.get("ui_mode", "hosted_page"),
        customer_creation=_customer_creation(given, mode),
    )
    merge_metadata(session, given.get("metadata"))
    session["metadata"] = session["metadata"] or {}
    _write_mode(session, given, mode)
    _write_details(session, customer, given)
    if session["ui_mode"] == "hosted_page":
        session["url"] = f"{sandbox.public_url}/pages/checkout/{session['id']}"
    else:
        session["client_secret"] = client_secret(session["id"])
    items: list[Object] = []
    if mode != "setup":
        items = make_items(sandbox, given.get("line_items") or [], mode=mode)
        buyer = customer["id"] if customer else None
        wished = given.get("discounts") or []
        session["discounts"] = redeem(sandbox, wished, at=at, items=items, customer=buyer)
        write_sums(sandbox, session, items, due_later=has_trial(given))
    sandbox.store.hide(session["id"], given=given, items=items)
    return sandbox.store.put(session)


def _check(sandbox: Sandbox, given: dict[str, Any], mode: str) -> Object | None:
    """Refuse what does not go together; gives the customer if one is named."""
    for name, modes in ONLY_IN.items():
        if given.get(name) is not None and mode not in modes:
            message = f"You can not pass `{name}` in `{mode}` mode."
            raise invalid(message, param=name)
    if given.get("customer") and given.get("customer_email"):
        message = "You may only specify one of these parameters: customer, customer_email."
        raise invalid(message, param="customer")
    if given.get("allow_promotion_codes") and given.get("discounts"):
        message = "You may only specify one of these parameters: allow_promotion_codes, discounts."
        raise invalid(message, param="allow_promotion_codes")
    if given.get("ui_mode", "hosted_page") == "hosted_page" and not given.get("success_url"):
        raise invalid("Missing required param: success_url.", param="success_url")
    for name in ("success_url", "cancel_url", "return_url"):
        if given.get(name):
            _check_url(given[name], name)
    id = given.get("customer")
    customer = sandbox.store.get("customer", id, param="customer", status=400) if id else None
    _check_tax(given, customer)
    return customer


def _check_tax(given: dict[str, Any], customer: Object | None) -> None:
    """What a known customer's tax needs: an address, or leave to keep the one that is typed."""
    updates = given.get("customer_update") or {}
    if updates and customer is None:
        message = "`customer_update` can only be used with `customer`."
        raise invalid(message, param="customer_update")
    if customer is None:
        return
    takes_ids = (given.get("tax_id_collection") or {}).get("enabled")
    if takes_ids and updates.get("name") != "auto":
        message = "Tax ID collection requires updating business name on the customer. To enable "
        message += "tax ID collection for an existing customer, please set `customer_update[name]` "
        raise invalid(message + "to `auto`.", param="customer_update")
    counts = (given.get("automatic_tax") or {}).get("enabled")
    keeps = "auto" in (updates.get("address"), updates.get("shipping"))
    if counts and not keeps and tax.location_of(customer) is None:
        message = "Automatic tax calculation in Checkout requires a valid address on the Customer. "
        message += "Add a valid address to the Customer or set either `customer_update[address]` "
        message += "to 'auto' or `customer_update[shipping]` to 'auto' to save the address "
        message += "entered in Checkout to the Customer."
        raise StripeError(400, message, code=tax.INVALID, param="automatic_tax")


def _check_url(url: str, param: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StripeError(400, "Not a valid URL", code="url_invalid", param=param)


def _expiry(given: dict[str, Any], at: int) -> int:
    wanted = int(given.get("expires_at") or at + DAY)
    # A minute of grace, for clocks that differ.
    if not at + SHORTEST_SECONDS - 60 <= wanted <= at + DAY + 60:
        message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from now."
        raise invalid(message, param="expires_at")
    return wanted


def _customer_creation(given: dict[str, Any], mode: str) -> str | None:
    if given.get("customer"):
        return None
    return "always" if mode == "subscription" else given.get("customer_creation", "if_required")


def _write_mode(session: Object, given: dict[str, Any], mode: str) -> None:
    is_subscription = mode == "subscription"
    collection = given.get("payment_method_collection", "always")
    session["payment_method_collection"] = collection if is_subscription else "if_required"
    session["allow_promotion_codes"] = given.get("allow_promotion_codes")
    if session["automatic_tax"]["enabled"]:
        session["automatic_tax"].update(status=tax.LACKING, provider="stripe")
    if mode == "payment":
        wanted = given.get("invoice_creation") or {}
        data = {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": None,
            "metadata": {},
            "rendering_options": None,
            **(wanted.get("invoice_data") or {}),
        }
        session["invoice_creation"] = {
            "enabled": wanted.get("enabled", False),
            "invoice_data": data,
        }


def _write_details(session: Object, customer: Object | None, given: dict[str, Any]) -> None:
    email = (customer or {}).get("email") or given.get("customer_email")
    if customer or email:
        session["customer_details"] = details(email=email, name=(customer or {}).get("name"))


def details(*, email: str | None, name: str | None) -> dict[str, Any]:
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def has_trial(given: dict[str, Any]) -> bool:
    data = given.get("subscription_data") or {}
    return bool(data.get("trial_period_days") or data.get("trial_end"))


def items_in(sandbox: Sandbox, session: Object) -> list[Object]:
    items: list[Object] = sandbox.store.secret(session["id"], "items", [])
    return items


def expire_session(sandbox: Sandbox, session: Object) -> Object:
    """Nobody can pay it any more; what it had begun is undone."""
    if session["status"] != "open":
        message = 'Only Checkout Sessions with a status in ["open"] can be expired. This '
        raise invalid(message + f"Checkout Session has a status of {session['status']}.")
    session.update(status="expired", url=None, client_secret=None)
    intent = sandbox.store.find(session["payment_intent"])
    if intent and intent["status"] in payments.CANCELABLE:
        payments.cancel_intent(sandbox, intent, "automatic")
    begun = sandbox.store.find(sandbox.store.secret(session["id"], "subscription"))
    if begun and begun["status"] == "incomplete":
        renewals.expire(sandbox, begun)
    sandbox.emit("checkout.session.expired", session)
    return session


@timer
def expiries(sandbox: Sandbox, test_clock: str | None) -> Due:
    for session in sandbox.store.all(KIND):
        if session["status"] != "open":
            continue
        owner = sandbox.store.find(session["customer"]) or {}
        if owner.get("test_clock") == test_clock:
            yield session["expires_at"], partial(_expire_late, sandbox, session)


def _expire_late(sandbox: Sandbox, session: Object, at: int) -> None:
    expire_session(sandbox, session)


def add_code(sandbox: Sandbox, session: Object, code: Object) -> None:
    """The buyer typed a promotion code."""
    wish = [{"promotion_code": code["id"]}]
    items, at = items_in(sandbox, session), sandbox.now(session)
    buyer = session["customer"]
    session["discounts"] = redeem(sandbox, wish, at=at, items=items, customer=buyer)
    count_again(sandbox, session)


def count_again(sandbox: Sandbox, session: Object) -> None:
    """The sums, after something that they follow from has changed."""
    given = sandbox.store.secret(session["id"], "given")
    write_sums(sandbox, session, items_in(sandbox, session), due_later=has_trial(given))


def asks_address(session: Object) -> bool:
    required = session["billing_address_collection"] == "required"
    return required or bool(session["automatic_tax"]["enabled"])


def take_address(sandbox: Sandbox, session: Object, address: dict[str, Any]) -> None:
    """The buyer typed where they are: the tax follows. Refuses a place that says too little."""
    if session["automatic_tax"]["enabled"] and tax.place_of(address) is None:
        known = sandbox.store.find(session["customer"]) or {}
        if address.get("country") or tax.location_of(known) is None:
            raise tax.invalid_location()
        return
    sandbox.store.hide(session["id"], address=address)
    count_again(sandbox, session)


def next_url(session: Object) -> str | None:
    """Where the buyer goes after paying."""
    url = session["success_url"] or session["return_url"]
    return url.replace("{CHECKOUT_SESSION_ID}", session["id"]) if url else None
