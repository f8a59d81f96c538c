"""Plans that creators make: a plan, and one price that Stripe makes with its product."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, transaction

from billing.catalog_spec import Tier, UsageTerms
from billing.catalog_usage import price_params
from billing.models import ApiListing, MeterLink, OfferKind, OperationKind, PlanOffer
from billing.operations import want
from config.errors import Conflict, InvalidInput
from entitlements.models import Plan
from keystore import audit
from keystore.models import Project

MARK = "latchkey_offer"  # by which the catalogue file knows what is none of its own
METERED = (OfferKind.PAY_PER_USE, OfferKind.TIERS)


class PlanCodeTaken(Conflict):
    code = "plan_code_taken"


@dataclass(frozen=True)
class Offer:
    """What a creator asks for. `amount_minor` counts for what is paid in advance; `unit_amount`,
    an exact decimal of the smallest unit, or `tiers`, for usage of `meter`.
    """

    code: str
    name: str
    kind: OfferKind
    currency: str
    amount_minor: int = 0
    interval: str = "month"
    meter: str = ""
    unit_amount: str = ""
    tiers: tuple[Tier, ...] = field(default=())


@transaction.atomic
def make_offer(*, listing: ApiListing, offer: Offer, actor: str, at: datetime) -> PlanOffer:
    """The plan, and the operation that makes its price, run after the commit. Until then the plan
    cannot be bought. Raises PlanCodeTaken, InvalidInput.
    """
    project = listing.creator.project
    plan = _make_plan(project, listing, offer)
    operation = want(
        project=project,
        kind=OperationKind.CREATE_PRICE,
        path="/v1/prices",
        params=_params(project, plan, offer),
        subject=plan.public_id,
        actor=actor,
        at=at,
    )
    made = PlanOffer.objects.create(plan=plan, kind=offer.kind, operation=operation, created_at=at)
    audit.record(
        actor=actor,
        act="plan.offer",
        target=plan,
        consumer=listing.creator.consumer,
        after={
            "kind": offer.kind,
            "amount_minor": offer.amount_minor,
            "currency": offer.currency,
            "api": listing.api.code,
        },
        at=at,
    )
    return made


def _make_plan(project: Project, listing: ApiListing, offer: Offer) -> Plan:
    try:
        with transaction.atomic():
            return Plan.objects.create(
                project=project, api=listing.api, code=offer.code, name=offer.name, public=False
            )
    except IntegrityError as twin:
        raise PlanCodeTaken(f"The code {offer.code!r} is in use: choose another one.") from twin


def _params(project: Project, plan: Plan, offer: Offer) -> dict[str, object]:
    marks = {"latchkey_project": project.slug, "latchkey_plan": plan.code, MARK: plan.public_id}
    params: dict[str, object] = {
        "currency": offer.currency,
        "metadata": marks,
        # No marks of the catalogue's on the product: it is not the file's to keep.
        "product_data": {"name": offer.name or offer.code, "metadata": {MARK: plan.public_id}},
    }
    if offer.kind == OfferKind.ONE_OFF:
        return {**params, "unit_amount": offer.amount_minor}
    recurring: dict[str, object] = {"interval": offer.interval}
    if offer.kind not in METERED:
        return {**params, "unit_amount": offer.amount_minor, "recurring": recurring}
    link = _link(project, offer)
    recurring |= {"usage_type": "metered", "meter": link.stripe_meter_id}
    return {**params, **price_params(_usage(link, offer)), "recurring": recurring}


def _usage(link: MeterLink, offer: Offer) -> UsageTerms:
    if offer.kind == OfferKind.TIERS:
        return UsageTerms(meter=link.event_name, tiers_mode="graduated", tiers=offer.tiers)
    return UsageTerms(meter=link.event_name, unit_amount=offer.unit_amount)


def _link(project: Project, offer: Offer) -> MeterLink:
    links = MeterLink.objects.filter(project=project, meter__archived_at=None)
    found = links.filter(meter__code=offer.meter).first()
    if found is None:
        codes = sorted(links.values_list("meter__code", flat=True))
        raise InvalidInput(
            f"There is no meter {offer.meter!r} that Stripe bills by.",
            errors=[
                {
                    "location": "body.meter",
                    "message": "Not a meter of this project at Stripe.",
                    "fix": f"Use one of: {', '.join(codes) or 'none is there yet'}.",
                }
            ],
        )
    return found
