"""The demo's creator: a listed API, a plan with a price, and two buyers."""

from collections.abc import Callable
from datetime import datetime, timedelta

from billing import gateway
from billing.demo_people import buy
from billing.market.creators import become_creator
from billing.market.listings import list_api
from billing.market.offers import Offer, make_offer
from billing.models import ApiListing, Commission, Creator, OfferKind
from billing.operations import run_operation
from keystore.models import Project
from keystore.services import register_consumer

Clock = Callable[[], datetime]
ACTOR = "system"
CODE = "star-charts"
BUYERS = ("mary", "emmy")
LISTED = timedelta(days=30)
OFFER = Offer(
    code=CODE,
    name="Star charts for a night",
    kind=OfferKind.ONE_OFF,
    currency="usd",
    amount_minor=1900,
)


def open_market(*, project: Project, clock: Clock) -> None:
    """Make what is missing of it; a second call changes nothing. Raises StripeUnavailable."""
    at = clock() - LISTED
    seller = register_consumer(
        project=project,
        external_id="caroline",
        email="caroline@space-journal.example",
        name="Caroline Herschel",
    )
    creator = become_creator(consumer=seller, country="US", currency="usd", actor=ACTOR, at=at)
    if not Commission.objects.filter(project=project, creator=None, api=None).exists():
        Commission.objects.create(
            project=project, basis_points=2000, effective_from=at, set_by=ACTOR, created_at=at
        )
    listing = ApiListing.objects.filter(api__project=project, api__code=CODE).first()
    listing = listing or _list(creator, clock(), at)
    if not listing.api.plans.filter(prices__active=True).exists():
        raise gateway.StripeUnavailable("The price of the star charts has not been made yet.")
    for user_id in BUYERS:
        buyer = register_consumer(
            project=project, external_id=user_id, email=f"{user_id}@space-journal.example"
        )
        buy(buyer, CODE, clock)


def _list(creator: Creator, at: datetime, since: datetime) -> ApiListing:
    listing = list_api(
        creator=creator,
        code=CODE,
        name="Star charts",
        description="Where every star stands tonight.",
        published=True,
        actor=ACTOR,
        at=since,
    )
    made = make_offer(listing=listing, offer=OFFER, actor=ACTOR, at=at)
    run_operation(operation=made.operation, at=at)
    return listing
