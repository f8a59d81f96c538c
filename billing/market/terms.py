"""Which commission holds for a sale, and who bears Stripe's fee."""

from datetime import datetime

from django.db.models import Case, IntegerField, Q, Value, When

from billing.models import ApiListing, Commission, FeeBearer, MarketPolicy
from keystore.models import Project


def commission_at(*, listing: ApiListing, at: datetime) -> int:
    """In basis points: the API's own, else the creator's, else the project's; 0 without any."""
    own = Q(api=listing.api_id)
    theirs = Q(creator=listing.creator_id, api=None)
    usual = Q(creator=None, api=None)
    width = Case(
        When(own, then=Value(0)),
        When(theirs, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    rows = Commission.objects.filter(
        own | theirs | usual, project=listing.creator.project_id, effective_from__lte=at
    )
    found = rows.order_by(width, "-effective_from").first()
    return found.basis_points if found else 0


def usual_commission(*, project: Project, at: datetime) -> Commission | None:
    """What holds for creators and APIs without a commission of their own."""
    rows = Commission.objects.filter(
        project=project, creator=None, api=None, effective_from__lte=at
    )
    return rows.order_by("-effective_from").first()


def policy_of(project: Project) -> MarketPolicy:
    """The project's own, or the usual one, which is not stored."""
    found = MarketPolicy.objects.filter(project=project).first()
    return found or MarketPolicy(project=project)


def creator_bears_fee(project: Project) -> bool:
    return policy_of(project).stripe_fee == FeeBearer.CREATOR
