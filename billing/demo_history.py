"""A quarter of a year of the demo's business, so that charts and lists have something to show.

The buyers live on test clocks of the sandbox, which start in the past and run up to now.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings

from billing import gateway
from billing.demo_people import patiently
from billing.models import StripeCustomer
from billing.on_sale import find_price
from billing.sync import sync_customer
from config.errors import Conflict
from keystore.ids import new_id
from keystore.models import Consumer, Project
from keystore.services import register_consumer

Clock = Callable[[], datetime]
GOOD_CARD = "pm_card_visa"
DISPUTED_CARD = "pm_card_createDispute"
LONGEST_STEP = timedelta(days=50)  # a clock jumps over two months at most


class NoPast(Conflict):
    code = "no_past"


@dataclass(frozen=True)
class Buyer:
    """Who bought what how many days ago, and how many days ago they left (None: they stay)."""

    user_id: str
    name: str
    plan: str
    came: int
    left: int | None = None
    card: str = GOOD_CARD


BUYERS = (
    Buyer("mary", "Mary Anning", "pro", 88),
    Buyer("carl", "Carl Sagan", "basic", 88, left=20),
    Buyer("rosa", "Rosalind Franklin", "team", 88),
    Buyer("emmy", "Emmy Noether", "pro", 74),
    Buyer("alan", "Alan Turing", "basic", 74, left=41),
    Buyer("lise", "Lise Meitner", "basic", 53),
    Buyer("otto", "Otto Unhappy", "pro", 53, card=DISPUTED_CARD),
    Buyer("hedy", "Hedy Lamarr", "team", 31),
    Buyer("jane", "Jane Goodall", "pro", 31, left=9),
    Buyer("katy", "Katherine Johnson", "basic", 12),
    Buyer("vera", "Vera Rubin", "pro", 4),
)


def live_through_the_past(*, project: Project, clock: Clock) -> int:
    """Make the buyers that are missing and bring them up to now; returns how many were made.

    Raises NoPast where Stripe is not the sandbox.
    """
    if not settings.STRIPE_USES_SANDBOX:
        raise NoPast("Only the sandbox has a past to make up: unset STRIPE_SECRET_KEY.")
    missing = [buyer for buyer in BUYERS if not _is_there(project, buyer)]
    for came in sorted({buyer.came for buyer in missing}, reverse=True):
        together = [buyer for buyer in missing if buyer.came == came]
        _live(project, together, clock() - timedelta(days=came), clock)
    return len(missing)


def _is_there(project: Project, buyer: Buyer) -> bool:
    holders = StripeCustomer.objects.filter(consumer__project=project)
    return holders.filter(consumer__external_id=buyer.user_id).exists()


def _live(project: Project, buyers: list[Buyer], start: datetime, clock: Clock) -> None:
    """Those who came on the same day share a clock."""
    test_clock = _write("/v1/test_helpers/test_clocks", frozen_time=int(start.timestamp()))["id"]
    bought = {buyer: _subscribe(project, buyer, test_clock) for buyer in buyers}
    now = clock()
    for buyer in sorted((one for one in buyers if one.left), key=lambda one: -(one.left or 0)):
        start = _advance(test_clock, start, now - timedelta(days=buyer.left or 0))
        _write(f"/v1/subscriptions/{bought[buyer][1]}", _method="delete")
    _advance(test_clock, start, now)
    for customer_id, _ in bought.values():
        patiently(partial(_follow, customer_id, clock))


def _follow(customer_id: str, clock: Clock) -> None:
    sync_customer(stripe_customer_id=customer_id, clock=clock, full=True)


def _subscribe(project: Project, buyer: Buyer, test_clock: str) -> tuple[str, str]:
    """The new customer and subscription at Stripe."""
    consumer = _register(project, buyer)
    customer = _write(
        "/v1/customers",
        test_clock=test_clock,
        email=consumer.email,
        name=consumer.name,
        metadata={"latchkey_consumer": consumer.public_id, "latchkey_project": project.slug},
    )["id"]
    card = _write(f"/v1/payment_methods/{buyer.card}/attach", customer=customer)["id"]
    _write(f"/v1/customers/{customer}", invoice_settings={"default_payment_method": card})
    price = find_price(project=project, plan_code=buyer.plan).stripe_price_id
    subscription = _write("/v1/subscriptions", customer=customer, items=[{"price": price}])["id"]
    return customer, subscription


def _register(project: Project, buyer: Buyer) -> Consumer:
    email = f"{buyer.user_id}@space-journal.example"
    return register_consumer(
        project=project, external_id=buyer.user_id, email=email, name=buyer.name
    )


def _advance(test_clock: str, start: datetime, to: datetime) -> datetime:
    path = f"/v1/test_helpers/test_clocks/{test_clock}/advance"
    while start < to:
        start = min(start + LONGEST_STEP, to)
        _write(path, frozen_time=int(start.timestamp()))
    return start


def _write(path: str, _method: str = "post", **params: object) -> gateway.Object:
    return gateway.write(path, params, idempotency_key=new_id("demo"), method=_method)
