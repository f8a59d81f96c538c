"""Events about what is for sale: products and prices, edited or archived at Stripe."""

from django.db import transaction

from billing import gateway, mirror
from billing.gateway import Recording
from billing.models import InboxEvent, Price
from billing.snapshot import PATHS, read_object

ROUNDS = 3


def follow(event: InboxEvent) -> str:
    """Take over a product or price as it is now; returns what was done, "" if it is no such event.

    An archived price is not sold any more; what was bought with it stays.
    """
    kind = event.type.rsplit(".", 1)[0]
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
