"""Which features a customer's subscriptions give, and the event when that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.lists import list_of
from sandbox.shapes import blank
from sandbox.store import Object, new_id

if TYPE_CHECKING:
    from sandbox.world import Sandbox

GIVING = {"active", "trialing", "past_due"}
SUMMARY_EVENT = "entitlements.active_entitlement_summary.updated"


def features_of_customer(sandbox: Sandbox, customer: str) -> dict[str, Object]:
    """{feature id: feature} of all live subscriptions."""
    products = {
        item["price"]["product"]
        for subscription in sandbox.store.all("subscription")
        if subscription["customer"] == customer and subscription["status"] in GIVING
        for item in subscription["items"]["data"]
    }
    return {
        link["entitlement_feature"]["id"]: link["entitlement_feature"]
        for link in sandbox.store.all("product_feature")
        if sandbox.store.secret(link["id"], "product") in products
    }


def active_entitlements(sandbox: Sandbox, customer: str) -> list[Object]:
    held = sandbox.store.secret(customer, "entitlements") or {}
    return [sandbox.store.get("entitlements.active_entitlement", id) for id in held.values()]


def refresh_entitlements(sandbox: Sandbox, customer: str) -> None:
    """Bring the entitlements in line with the subscriptions; tell only of a change."""
    if not any(sandbox.store.all("product_feature")):
        return
    held = dict(sandbox.store.secret(customer, "entitlements") or {})
    wanted = features_of_customer(sandbox, customer)
    if set(held) == set(wanted):
        return
    kept = {feature: id for feature, id in held.items() if feature in wanted}
    for id, feature in wanted.items():
        if id not in kept:
            entitlement = blank("entitlements.active_entitlement")
            entitlement.update(id=new_id(entitlement["object"]), feature=id)
            entitlement["lookup_key"] = feature["lookup_key"]
            kept[id] = sandbox.store.put(entitlement)["id"]
    sandbox.store.hide(customer, entitlements=kept)
    summary = blank("entitlements.active_entitlement_summary")
    url = f"/v1/customer/{customer}/entitlements"
    data = active_entitlements(sandbox, customer)
    summary.update(customer=customer, entitlements=list_of(data, url=url))
    sandbox.emit(SUMMARY_EVENT, summary)
