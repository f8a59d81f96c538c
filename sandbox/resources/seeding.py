"""Prices whose id is chosen: not Stripe's way, but demos and examples name prices by id."""

from __future__ import annotations

from sandbox import generic
from sandbox.engine.prices import make_price
from sandbox.errors import invalid
from sandbox.registry import Call, on
from sandbox.store import Object


@on("POST /v1/_sandbox/prices", documented=False)
def seed_price(call: Call) -> Object:
    """`id`, `unit_amount`, `currency`, and `interval` if it recurs; `product` and `product_name`.

    The price of that id is answered again; the product is made if it is not there.
    """
    given = call.params
    known = call.store.find(given["id"])
    if known is not None:
        return known
    _product_of(call, given["product"], given.get("product_name", given["product"]))
    wanted = {
        "id": given["id"],
        "product": given["product"],
        "unit_amount": int(given["unit_amount"]),
        "currency": given["currency"],
    }
    if given.get("interval"):
        count = int(given.get("interval_count", 1))
        wanted["recurring"] = {"interval": given["interval"], "interval_count": count}
    return make_price(call.sandbox, wanted)


def _product_of(call: Call, product_id: str, name: str) -> None:
    known = call.store.find(product_id)
    if known is not None and known["object"] != "product":
        raise invalid(f"{product_id} is not a product.", param="product")
    if known is None:
        made = generic.new(call.sandbox, "product", {"id": product_id, "name": name})
        made["type"] = "service"
        call.store.put(made)
        call.sandbox.emit("product.created", made)
