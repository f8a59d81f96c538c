"""The demo data: the project, the key and the people of the examples. Never for real money."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import jwt
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction

from billing import catalog, gateway
from billing.catalog_file import parse_catalog
from billing.catalog_spec import PlanSpec, PriceSpec, ProjectSpec
from billing.demo_logins import Logins
from billing.demo_people import invite_people
from billing.models import RefundBudget, RefundLimit
from config.errors import Conflict, DomainError
from keystore import issuers
from keystore.models import Project, TokenIssuer
from keystore.seal import Unsealable, unseal
from keystore.services import import_key

FILE = "catalog/space_journal.yaml"
APP_NAME = "space_journal_backend"
APP_KEY = "sk_demo_space_journal"  # public knowledge: it opens nothing but demo data
ACTOR = "system"
TOKENS_OF = "https://sign-in.space-journal.example"
TOKEN_SECRET = "jwt_secret"  # its name in the file of the logins
TOKEN_LIFE = timedelta(days=30)


class DemoRefused(Conflict):
    code = "demo_refused"


@dataclass
class DemoReport:
    """What was done, and what could not be, in sentences."""

    project: Project
    problems: list[str] = field(default_factory=list)


def refuse_where_it_hurts(*, forced: bool) -> None:
    """Raises DemoRefused where strangers could reach a key that everybody knows."""
    if settings.STRIPE_LIVE_MODE:
        raise DemoRefused("The Stripe key is a live one: demo data would cost real money.")
    if not settings.DEBUG and not forced:
        raise DemoRefused(
            f"DEBUG is off, so this looks like production, and {APP_KEY} is known to everybody. "
            "Use --force-demo if this really is a demo."
        )


def build_demo(*, logins: Logins, clock: Callable[[], datetime]) -> DemoReport:
    """Make whatever of the demo data is missing; a second call changes nothing.

    Without Stripe everything but the buyers is made.
    """
    spec = read_catalog()
    catalog.push_tables(project=spec, actor=ACTOR, at=clock())
    project = Project.objects.get(slug=spec.slug)
    report = DemoReport(project)
    _make_app(project, clock())
    _allow_refunds(project)
    _accept_tokens(project, logins, clock())
    logins.make_all()
    try:
        seed_prices(spec)
        catalog.push(project=spec, actor=ACTOR, clock=clock)
        invite_people(project=project, logins=logins, clock=clock)
    except (DomainError, gateway.OutcomeUnknown) as problem:
        catalog.push_known_prices(project=spec)
        report.problems.append(
            f"Stripe at {settings.STRIPE_API_BASE} did not play along ({problem}); plans and "
            "prices are in the tables. Run `make demo` again when it answers."
        )
    return report


def _accept_tokens(project: Project, logins: Logins, at: datetime) -> None:
    """The demo's sign-in service, whose secret is JWT_SECRET or one of this checkout."""
    if not settings.JWT_SECRET and TOKEN_SECRET not in logins.known:
        logins.keep(TOKEN_SECRET, issuers.new_secret())
    secret = settings.JWT_SECRET or logins.known[TOKEN_SECRET]
    terms = {"issuer": TOKENS_OF, "audience": project.slug}
    row = TokenIssuer.objects.filter(**terms).first()
    if row is None:
        issuers.make_issuer(project=project, secret=secret, actor=ACTOR, at=at, **terms)
    elif secret not in _secrets_of(row):
        issuers.roll_secret(
            issuer=row, secret=secret, overlap=timedelta(0), actor=ACTOR, reason="demo", at=at
        )


def _secrets_of(row: TokenIssuer) -> list[str]:
    try:
        return [unseal(row.sealed_secret)]
    except Unsealable:
        return []


def demo_token(*, project: Project, logins: Logins, at: datetime) -> str:
    """A token of ada's, good for a month; "" before the demo's data are made."""
    secret = settings.JWT_SECRET or logins.known.get(TOKEN_SECRET, "")
    if not secret:
        return ""
    said = {
        "iss": TOKENS_OF,
        "aud": project.slug,
        "sub": "ada",
        "iat": int(at.timestamp()),
        "exp": int((at + TOKEN_LIFE).timestamp()),
    }
    return jwt.encode(said, secret, algorithm="HS256")


def _allow_refunds(project: Project) -> None:
    """Up to 50.00 USD of a payment without a second person; support up to 500.00 a month."""
    RefundLimit.objects.get_or_create(
        project=project, currency="usd", defaults={"approval_above_minor": 5_000}
    )
    support = Group.objects.get(name="Support")
    RefundBudget.objects.get_or_create(
        project=project, role=support, currency="usd", defaults={"monthly_minor": 50_000}
    )


def read_catalog() -> ProjectSpec:
    text = (Path(settings.BASE_DIR) / FILE).read_text(encoding="utf-8")
    return parse_catalog(text, variables=settings.CATALOG_VARIABLES)[0]


@transaction.atomic
def _make_app(project: Project, at: datetime) -> None:
    app, _ = project.apps.get_or_create(name=APP_NAME)
    import_key(
        project=project,
        owner=app,
        plaintext=APP_KEY,
        name="demo",
        scopes=["*"],
        actor=ACTOR,
        at=at,
    )


def seed_prices(spec: ProjectSpec) -> None:
    """Let the sandbox have the prices under the ids that the examples use. Not for Stripe."""
    if not settings.STRIPE_USES_SANDBOX:
        return
    for plan in spec.plans:
        for price in plan.prices:
            if price.stripe_id:
                _seed_price(spec, plan, price)


def _seed_price(spec: ProjectSpec, plan: PlanSpec, price: PriceSpec) -> None:
    try:
        gateway.read(f"/v1/prices/{price.stripe_id}")
    except gateway.StripeMissing:
        wanted = {
            "id": price.stripe_id,
            "product": f"latchkey_{spec.slug}_{plan.code}",
            "product_name": f"{spec.name} {plan.title}",
            "unit_amount": price.terms.amount_minor,
            "currency": price.terms.currency,
            "interval": price.terms.interval,
            "interval_count": price.terms.interval_count,
        }
        key = f"demo:{price.stripe_id}"
        gateway.write("/v1/_sandbox/prices", wanted, idempotency_key=key)
