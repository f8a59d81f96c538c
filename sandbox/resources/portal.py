"""Billing portal: sessions for one customer, and what each configuration allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox import generic
from sandbox.errors import StripeError, invalid
from sandbox.lists import matching, paginate
from sandbox.registry import Call, on
from sandbox.shapes import blank, fill, merge_metadata
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

SESSION = "billing_portal.session"
CONFIGURATION = "billing_portal.configuration"
LIVES_SECONDS = 3600
EVERYTHING = {
    "customer_update": {"enabled": True, "allowed_updates": ["email", "name"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
}


def default_configuration(sandbox: Sandbox) -> Object:
    """What the dashboard's settings would be; made when it is first needed."""
    for found in sandbox.store.all(CONFIGURATION):
        if found["is_default"]:
            return found
    return make_configuration(sandbox, {"features": EVERYTHING}, is_default=True)


def make_configuration(
    sandbox: Sandbox, given: dict[str, Any], *, is_default: bool = False
) -> Object:
    made = generic.new(sandbox, CONFIGURATION, {**given, "features": None})
    made.update(active=True, is_default=is_default, features=_features(given["features"]))
    made["login_page"] = {"enabled": False, "url": None}
    sandbox.store.put(made)
    sandbox.emit("billing_portal.configuration.created", made)
    return made


def _features(given: dict[str, Any]) -> dict[str, Any]:
    features = blank(CONFIGURATION)["features"]
    _merge(features, given)
    update = features["subscription_update"]
    for product in update["products"] or []:
        product.setdefault("adjustable_quantity", {"enabled": False, "minimum": 1, "maximum": None})
    return dict(features)


def _merge(target: dict[str, Any], given: dict[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        elif name in target:
            target[name] = [] if value == "" and isinstance(target[name], list) else value


@on("POST /v1/billing_portal/configurations")
def create_configuration(call: Call) -> Object:
    return make_configuration(call.sandbox, call.params)


@on("POST /v1/billing_portal/configurations/{configuration}")
def update_configuration(call: Call) -> Object:
    item = call.store.get(CONFIGURATION, call.id)
    if call.params.get("active") is False and item["is_default"]:
        raise invalid("The default configuration cannot be deactivated.", param="active")
    with call.sandbox.changing(item):
        merge_metadata(item, call.params.get("metadata"))
        for name in ("active", "name", "default_return_url"):
            if name in call.params:
                item[name] = call.params[name] or None if name != "active" else call.params[name]
        _merge(item["business_profile"], call.params.get("business_profile") or {})
        _merge(item["features"], call.params.get("features") or {})
        item["updated"] = call.sandbox.now()
    return item


@on("GET /v1/billing_portal/configurations")
def list_configurations(call: Call) -> Object:
    default_configuration(call.sandbox)
    found = matching(call.store.newest_first(CONFIGURATION), call.params)
    return paginate(found, call.params, url=call.path)


@on("POST /v1/billing_portal/sessions")
def create_session(call: Call) -> Object:
    customer = call.given("customer", "customer")
    if customer is None:
        raise invalid("Missing required param: customer.", param="customer")
    configuration = call.given(CONFIGURATION, "configuration")
    configuration = configuration or default_configuration(call.sandbox)
    if not configuration["active"]:
        raise invalid("This portal configuration is not active.", param="configuration")
    return_url = call.params.get("return_url") or configuration["default_return_url"]
    if return_url and not return_url.startswith(("http://", "https://")):
        raise StripeError(400, "Not a valid URL", code="url_invalid", param="return_url")
    session = fill(SESSION, {"locale": call.params.get("locale")})
    id = new_id(SESSION)
    session.update(
        id=id,
        configuration=configuration["id"],
        created=call.sandbox.now(customer),
        customer=customer["id"],
        flow=_flow(call, customer),
        return_url=return_url,
        url=f"{call.sandbox.public_url}/pages/portal/{id}",
    )
    call.store.put(session)
    touch(call.sandbox, session)
    call.sandbox.emit("billing_portal.session.created", session)
    return session


def _flow(call: Call, customer: Object) -> dict[str, Any] | None:
    """A portal that opens at one task only."""
    given = call.params.get("flow_data")
    if not given:
        return None
    kind = given["type"]
    after = {"hosted_confirmation": None, "redirect": None, "type": "portal_homepage"}
    after.update(given.get("after_completion") or {})
    flow: dict[str, Any] = {"after_completion": after, "type": kind}
    for name in ("subscription_cancel", "subscription_update", "subscription_update_confirm"):
        flow[name] = given.get(name) if name == kind else None
        if name == kind:
            id = (flow[name] or {}).get("subscription", "")
            found = call.store.get("subscription", id, param="flow_data", status=400)
            if found["customer"] != customer["id"]:
                message = "The subscription belongs to a different customer."
                raise invalid(message, param="flow_data")
    if flow["subscription_cancel"]:
        flow["subscription_cancel"].setdefault("retention", None)
    if flow["subscription_update_confirm"]:
        flow["subscription_update_confirm"].setdefault("discounts", None)
    return flow


def touch(sandbox: Sandbox, session: Object) -> None:
    """An hour after its last use a portal session is over."""
    sandbox.store.hide(session["id"], dies=sandbox.now(session) + LIVES_SECONDS)


def is_alive(sandbox: Sandbox, session: Object) -> bool:
    return bool(sandbox.now(session) < sandbox.store.secret(session["id"], "dies", 0))
