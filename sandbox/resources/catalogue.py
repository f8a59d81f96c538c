"""Products, prices, features, coupons: what is for sale."""

from __future__ import annotations

from typing import Any

from sandbox import generic
from sandbox.engine.prices import make_price, take_lookup_key
from sandbox.errors import StripeError, invalid
from sandbox.lists import matching, paginate
from sandbox.registry import Call, on
from sandbox.shapes import blank, merge_metadata
from sandbox.store import Object, new_id


@on("POST /v1/products")
def create_product(call: Call) -> Object:
    wanted = call.params.pop("default_price_data", None)
    if call.params.get("id") in call.store.by_kind.get("product", {}):
        raise StripeError(
            400, "Product already exists.", code="resource_already_exists", param="id"
        )
    product = generic.create(call, "product", type="service")
    if wanted:
        price = make_price(call.sandbox, {**wanted, "product": product["id"]})
        product["default_price"] = price["id"]
    return product


@on("POST /v1/products/{id}")
def update_product(call: Call) -> Object:
    call.given("price", "default_price")
    return generic.update(call, "product", updated=call.sandbox.now())


@on("DELETE /v1/products/{id}")
def delete_product(call: Call) -> Object:
    if any(price["product"] == call.id for price in call.store.all("price")):
        message = "This product cannot be deleted because it has one or more user-created prices."
        raise invalid(message)
    return generic.delete(call, "product")


@on("POST /v1/prices")
def create_price(call: Call) -> Object:
    data = call.params.get("product_data")
    if bool(data) == bool(call.params.get("product")):
        raise invalid("You must specify either `product` or `product_data`.", param="product")
    if data:
        product = _product_of(call, data)
        call.params["product"] = product["id"]
    call.given("product", "product")
    return make_price(call.sandbox, call.params)


def _product_of(call: Call, data: dict[str, Any]) -> Object:
    product = blank("product")
    known = {key: value for key, value in data.items() if key in product and key != "metadata"}
    now = call.sandbox.now()
    product.update(known, id=data.get("id") or new_id("product"), type="service")
    product.update(active=data.get("active", True), created=now, updated=now)
    merge_metadata(product, data.get("metadata"))
    call.store.put(product)
    call.sandbox.emit("product.created", product)
    return product


@on("POST /v1/prices/{id}")
def update_price(call: Call) -> Object:
    price = generic.update(call, "price")
    transfer = call.params.get("transfer_lookup_key", False)
    take_lookup_key(call.sandbox, price, transfer=transfer)
    return price


@on("GET /v1/prices")
def list_prices(call: Call) -> Object:
    return generic.list_all(call, "price")


@on("POST /v1/entitlements/features")
def create_feature(call: Call) -> Object:
    for other in call.store.all("entitlements.feature"):
        if other["lookup_key"] == call.params["lookup_key"] and other["active"]:
            raise invalid("A feature with this lookup key already exists.", param="lookup_key")
    return generic.create(call, "entitlements.feature")


@on("GET /v1/entitlements/features")
def list_features(call: Call) -> Object:
    wanted = {k: v for k, v in call.params.items() if k != "archived"}
    found = matching(call.store.newest_first("entitlements.feature"), wanted)
    if "archived" in call.params:
        found = [f for f in found if f["active"] != call.params["archived"]]
    return paginate(found, call.params, url=call.path)


@on("POST /v1/products/{product}/features")
def add_product_feature(call: Call) -> Object:
    product = call.store.get("product", call.id, param="product")
    feature = call.given("entitlements.feature", "entitlement_feature")
    for other in features_of(call, product["id"]):
        if other["entitlement_feature"]["id"] == call.params["entitlement_feature"]:
            raise invalid("This feature is already attached to the product.")
    made = blank("product_feature")
    made.update(id=new_id("product_feature"), entitlement_feature=feature)
    call.store.hide(made["id"], product=product["id"])
    return call.store.put(made)


def features_of(call: Call, product: str) -> list[Object]:
    return [
        item
        for item in call.store.newest_first("product_feature")
        if call.store.secret(item["id"], "product") == product
    ]


@on("GET /v1/products/{product}/features")
def list_product_features(call: Call) -> Object:
    call.store.get("product", call.id, param="product")
    return paginate(features_of(call, call.id), call.params, url=call.path)


@on("GET /v1/products/{product}/features/{id}")
def retrieve_product_feature(call: Call) -> Object:
    return call.store.get("product_feature", call.ids[1])


@on("DELETE /v1/products/{product}/features/{id}")
def remove_product_feature(call: Call) -> Object:
    return call.store.remove(call.store.get("product_feature", call.ids[1]))
