"""The catalogue in our tables: read as plain values, written from them."""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction

from billing.catalog_coupons import read_coupons
from billing.catalog_diff import PriceRow
from billing.catalog_meters import read_meters, write_meters
from billing.catalog_spec import (
    ApiSpec,
    FeatureSpec,
    PlanFeatureSpec,
    PlanSpec,
    ProjectSpec,
    Terms,
)
from billing.catalog_usage import as_json, from_json
from billing.models import BillingPolicy, Price, Purchase, Subscription
from billing.provision import slot_of
from config.errors import Conflict
from entitlements.contents import contents_of, record_contents
from entitlements.models import Feature, Plan, PlanFeature
from entitlements.services import refresh_plan_answers
from keystore import audit
from keystore.locking import upsert
from keystore.models import Api, Project
from keystore.services import set_plan_limit
from metering.models import Meter

ACTOR = "system"


def find_project(slug: str) -> Project | None:
    return Project.objects.filter(slug=slug).first()


def read_project(project: Project) -> ProjectSpec:
    """The project as the tables have it, without prices (see `read_rows`)."""
    policy = BillingPolicy.objects.filter(project=project).first()
    # Plans that creators offer are not the file's.
    plans = project.plans.filter(offer=None).select_related("api")
    plans = plans.prefetch_related("plan_features__feature")
    return ProjectSpec(
        slug=project.slug,
        name=project.name,
        number=project.pk,
        allowed_origins=tuple(project.allowed_origins),
        grace_days=policy.grace_days if policy else BillingPolicy().grace_days,
        apis=tuple(ApiSpec(api.code, api.name) for api in project.apis.order_by("pk")),
        features=tuple(
            FeatureSpec(one.code, one.name, one.kind) for one in project.features.order_by("pk")
        ),
        meters=read_meters(project),
        plans=tuple(_plan_spec(plan) for plan in plans.order_by("rank", "pk")),
        coupons=read_coupons(project),
    )


def _plan_spec(plan: Plan) -> PlanSpec:
    values = sorted(plan.plan_features.all(), key=lambda value: value.pk)
    return PlanSpec(
        code=plan.code,
        name=plan.name,
        rank=plan.rank,
        api=plan.api.code if plan.api else "",
        limit_per_minute=plan.limit_per_minute,
        issues_key=plan.issues_key,
        allows_many=plan.allows_many,
        public=plan.public,
        features=tuple(
            PlanFeatureSpec(
                code=value.feature.code,
                limit=value.limit,
                config=value.config,
                reset=value.reset,
                enforcement=value.enforcement,
            )
            for value in values
        ),
    )


def read_rows(project: Project) -> list[PriceRow]:
    rows = Price.objects.filter(project=project, only_for=None, plan__offer=None)
    rows = rows.select_related("plan").order_by("pk")
    return [
        PriceRow(
            plan=row.plan.code,
            stripe_id=row.stripe_price_id,
            product_id=row.stripe_product_id,
            terms=Terms(
                amount_minor=row.amount_minor,
                currency=row.currency,
                interval=row.interval,
                interval_count=row.interval_count,
                kind=row.kind,
                usage=from_json(row.usage_terms),
            ),
            active=row.active,
            trial_days=row.trial_days,
            tax_behavior=row.tax_behavior,
        )
        for row in rows
    ]


# --- Writing -----------------------------------------------------------------------------------


@transaction.atomic
def write_project(spec: ProjectSpec, *, actor: str, at: datetime) -> Project:
    """Make the tables say what the file says; prices apart. Answers of consumers follow."""
    project = find_project(spec.slug) or _new_project(spec)
    before = read_project(project)
    project.name, project.allowed_origins = spec.name, list(spec.allowed_origins)
    project.save(update_fields=["name", "allowed_origins"])
    upsert(BillingPolicy, project=project, defaults={"grace_days": spec.grace_days})
    for api in spec.apis:
        upsert(Api, project=project, code=api.code, defaults={"name": api.name})
    for feature in spec.features:
        upsert(
            Feature,
            project=project,
            code=feature.code,
            defaults={"name": feature.name, "kind": feature.kind},
        )
    write_meters(project, spec.meters)
    for plan in spec.plans:
        _write_plan(project, plan, before, actor, at)
    project.plans.exclude(code__in=[plan.code for plan in spec.plans]).update(public=False)
    audit.record(actor=actor, act="catalog.push", target=project, project=project)
    return project


def _new_project(spec: ProjectSpec) -> Project:
    """Under the wished number if it is free; then later projects must not collide with it."""
    number = spec.number
    if number is not None and Project.objects.filter(pk=number).exists():
        number = None
    project = Project.objects.create(pk=number, slug=spec.slug)
    if number is not None:
        with connection.cursor() as cursor:
            cursor.execute(
                "select setval(pg_get_serial_sequence(%s, 'id'), (select max(id) from "
                f"{connection.ops.quote_name(Project._meta.db_table)}))",
                [Project._meta.db_table],
            )
    return project


def _write_plan(
    project: Project, spec: PlanSpec, before: ProjectSpec, actor: str, at: datetime
) -> None:
    old = next((one for one in before.plans if one.code == spec.code), None)
    plan, _ = upsert(
        Plan,
        project=project,
        code=spec.code,
        defaults={
            "name": spec.name,
            "rank": spec.rank,
            "api": project.apis.get(code=spec.api) if spec.api else None,
            "limit_per_minute": spec.limit_per_minute,
            "issues_key": spec.issues_key,
            "allows_many": spec.allows_many,
            "public": spec.public,
        },
    )
    contents = contents_of(plan)
    plan.plan_features.exclude(feature__code__in=[value.code for value in spec.features]).delete()
    for value in spec.features:
        upsert(
            PlanFeature,
            plan=plan,
            feature=project.features.get(code=value.code),
            defaults={
                "limit": value.limit,
                "config": value.config,
                "reset": value.reset,
                "enforcement": value.enforcement,
            },
        )
    record_contents(plan=plan, before=contents, actor=actor, at=at)
    if old is not None:
        _record_rank(plan, old.rank, actor, at)
        refresh_plan_answers(plan=plan, at=at)
        if old.limit_per_minute != spec.limit_per_minute:
            _move_limits(plan)


def _record_rank(plan: Plan, old: int, actor: str, at: datetime) -> None:
    if plan.rank != old:
        audit.record(
            actor=actor,
            act="plan.change",
            target=plan,
            before={"rank": old},
            after={"rank": plan.rank},
            at=at,
        )


def _move_limits(plan: Plan) -> None:
    """Keys that were given out with the plan follow its new rate limit."""
    sold = [
        *Subscription.objects.filter(plan=plan).values_list("stripe_subscription_id", flat=True),
        *Purchase.objects.filter(price__plan=plan).values_list(
            "stripe_payment_intent_id", flat=True
        ),
        *Purchase.objects.filter(price__plan=plan).values_list("public_id", flat=True),
    ]
    set_plan_limit(
        project=plan.project,
        slots=[slot_of(source_ref) for source_ref in sold if source_ref],
        limit_per_minute=plan.limit_per_minute,
    )


@transaction.atomic
def write_rows(project: Project, rows: Iterable[PriceRow], *, archive_others: bool) -> None:
    """Make our prices say what `rows` say; with `archive_others`, sell nothing else.

    Raises Conflict for a price of another project.
    """
    kept = [write_row(project, row).pk for row in rows]
    if archive_others:
        others = project.prices.filter(active=True, only_for=None, plan__offer=None)
        others.exclude(pk__in=kept).update(active=False)


def write_row(project: Project, row: PriceRow) -> Price:
    foreign = Price.objects.filter(stripe_price_id=row.stripe_id).exclude(project=project)
    if foreign.exists():
        raise Conflict(f"{row.stripe_id} belongs to another project: choose another price.")
    price, _ = upsert(
        Price,
        stripe_price_id=row.stripe_id,
        defaults={
            "project": project,
            "plan": Plan.objects.get(project=project, code=row.plan),
            "stripe_product_id": row.product_id,
            "kind": row.terms.kind,
            "amount_minor": row.terms.amount_minor,
            "currency": row.terms.currency,
            "interval": row.terms.interval,
            "interval_count": row.terms.interval_count,
            "meter": _meter_of(project, row.terms),
            "usage_terms": as_json(row.terms.usage),
            "active": row.active,
            "tax_behavior": row.tax_behavior,
            **({} if row.trial_days is None else {"trial_days": row.trial_days}),
        },
    )
    return price


def _meter_of(project: Project, terms: Terms) -> Meter | None:
    if terms.usage is None:
        return None
    return project.meters.filter(stripe_event_name=terms.usage.meter).order_by("pk").first()
