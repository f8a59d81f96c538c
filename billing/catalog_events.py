"""Events about what is for sale: products and prices, edited or archived at Stripe."""

from collections.abc import Callable

from django.db import transaction

from billing import gateway, mirror
from billing.gateway import Recording
from billing.models import InboxEvent, Price
from billing.promotions.offers import follow_code, follow_coupon
from billing.snapshot import PATHS, read_object

ROUNDS = 3
OFFERS: dict[str, tuple[str, Callable[..., None]]] = {
    "coupon": ("/v1/coupons/{}", follow_coupon),
    "promotion_code": ("/v1/promotion_codes/{}", follow_code),
}


def follow(event: InboxEvent) -> str:
    """Take over a product or price as it is now; returns what was done, "" if it is no such event.

    An archived price is not sold any more; what was bought with it stays.
    """
    kind = event.type.rsplit(".", 1)[0]
    if kind in OFFERS:
        return _follow_offer(kind, event)
    if kind not in ("product", "price"):
        return ""
    if event.type.endswith(".deleted"):
        Price.objects.filter(stripe_price_id=event.object_id).update(active=False)
        return f"{event.object_id} was deleted at Stripe"
    found = read_object(kind, event.object_id)
    _copy(found)
    if kind == "price":
        Price.objects.filter(stripe_price_id=found["id"]).update(active=found["active"])
    return f"{PATHS[kind].format(found['id'])} mirrored"


def _follow_offer(kind: str, event: InboxEvent) -> str:
    """How often a coupon or a code was redeemed, and whether it can be still."""
    path, follow_it = OFFERS[kind]
    try:
        found = gateway.read(path.format(event.object_id))
    except gateway.StripeMissing:
        found = {"id": event.object_id, "deleted": True}
    if not (found.get("deleted") and kind == "promotion_code"):
        follow_it(found, at=event.received_at)
    return f"{event.object_id} counted"


def _copy(found: gateway.Object) -> None:
    recording = Recording()
    recording.objects[PATHS[found["object"]].format(found["id"])] = found
    account = None if mirror.has_account() else gateway.read("/v1/account")
    for _ in range(ROUNDS):
        with transaction.atomic():
            mirror.write([account, found] if account else [found], recording)
            if recording.missing:
                transaction.set_rollback(True)
        if not recording.missing:
            return
        recording.fill()
