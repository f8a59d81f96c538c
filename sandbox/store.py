"""The objects of one sandbox: by id, and by type in the order they were made."""

import secrets
import string
import threading
from collections.abc import Iterator
from typing import Any

from sandbox.errors import missing

Object = dict[str, Any]
ALPHABET = string.ascii_letters + string.digits
PREFIXES = {
    "customer": "cus", "product": "prod", "price": "price", "subscription": "sub",
    "subscription_item": "si", "invoice": "in", "invoiceitem": "ii", "line_item": "il",
    "invoice_payment": "inpay", "payment_intent": "pi", "payment_method": "pm",
    "setup_intent": "seti", "charge": "ch", "refund": "re", "dispute": "du", "coupon": "co",
    "promotion_code": "promo", "tax_rate": "txr", "balance_transaction": "txn", "event": "evt",
    "webhook_endpoint": "we", "test_helpers.test_clock": "clock", "checkout.session": "cs_test",
    "billing_portal.session": "bps", "billing_portal.configuration": "bpc",
    "entitlements.feature": "feat", "entitlements.active_entitlement": "ent",
    "product_feature": "prodft", "discount": "di", "billing.meter": "mtr",
    "credit_note": "cn", "credit_note_line_item": "cnli",
    "customer_balance_transaction": "cbtxn", "transfer": "tr", "payout": "po", "account": "acct",
    "subscription_schedule": "sub_sched", "tax_id": "txi", "payment_link": "plink",
}  # fmt: skip


def random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def new_id(kind: str) -> str:
    return f"{PREFIXES.get(kind, kind.rpartition('.')[2])}_{random_text(24)}"


class Store:
    """Hold `lock` for as long as a request executes: Stripe's objects change one at a time."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.by_id: dict[str, Object] = {}
        self.by_kind: dict[str, dict[str, Object]] = {}
        # What Stripe knows but shows only when expanded, or never: {id: {name: value}}.
        self.hidden: dict[str, dict[str, Any]] = {}
        self.touched = threading.Event()  # set by changes; whoever keeps the objects clears it

    def put(self, item: Object) -> Object:
        self.by_id[item["id"]] = item
        self.by_kind.setdefault(item["object"], {})[item["id"]] = item
        self.touched.set()
        return item

    def find(self, id: str | None) -> Object | None:
        return self.by_id.get(id) if id else None

    def get(self, kind: str, id: str, *, param: str = "id", status: int = 404) -> Object:
        """The object, or Stripe's refusal that names the parameter which led here."""
        item = self.by_kind.get(kind, {}).get(id)
        if item is None:
            raise missing(kind, id, param=param, status=status)
        return item

    def all(self, kind: str) -> Iterator[Object]:
        return iter(list(self.by_kind.get(kind, {}).values()))

    def newest_first(self, kind: str) -> list[Object]:
        return list(reversed(self.by_kind.get(kind, {}).values()))

    def remove(self, item: Object) -> Object:
        """Leave only the stub that Stripe answers for a deleted object."""
        stub = {"id": item["id"], "object": item["object"], "deleted": True}
        self.by_kind.get(item["object"], {}).pop(item["id"], None)
        self.by_id[item["id"]] = stub
        self.touched.set()
        return stub

    def hide(self, id: str, **values: Any) -> None:
        self.hidden.setdefault(id, {}).update(values)
        self.touched.set()

    def secret(self, id: str, name: str, default: Any = None) -> Any:
        return self.hidden.get(id, {}).get(name, default)

    def clear(self) -> None:
        with self.lock:
            self.by_id.clear()
            self.by_kind.clear()
            self.hidden.clear()
