"""Refuses to start on a setting that could lose money, leak a secret or lie about the time."""

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections

TAG = "latchkey"
LEAST_SECRET_BYTES = 32
# Printed in our own files for use with the sandbox: everybody can sign with them.
KNOWN_WEBHOOK_SECRETS = {"whsec_placeholder", "whsec_compose"}
KNOWN_TOKEN_SECRETS = ("your-secret", "your_secret", "change-me", "changeme", "secret")
LEAST_KINDS = 8  # of characters: "aaaa..." is long and no secret
TOLERANCE_SECONDS = range(1, 301)

Rule = Callable[[], Iterator[CheckMessage]]


def refuse_dangerous_settings() -> None:
    """What web and worker call at start: ImproperlyConfigured names each problem and its cure."""
    errors = [message for message in run_checks(tags=[TAG]) if message.is_serious()]
    if errors:
        told = "\n".join(f"{error.id}: {error.msg} {error.hint}" for error in errors)
        raise ImproperlyConfigured(f"Latchkey does not start like this:\n{told}")


@register(TAG)
def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **options: Any
) -> list[CheckMessage]:
    return [message for rule in RULES for message in rule()]


@register(TAG, Tags.database)
def check_stored_stripe_keys(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **options: Any,
) -> list[CheckMessage]:
    """dj-stripe would store Stripe keys in clear; ours come from the environment alone."""
    return [message for alias in databases or () for message in _stored_keys(alias)]


@register(TAG, Tags.database)
def check_token_issuers(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **options: Any,
) -> list[CheckMessage]:
    """A secret that was put into the table by hand, or sealed under a key that is gone."""
    return [message for alias in databases or () for message in _weak_issuers(alias)]


def webhook_secrets() -> Iterator[CheckMessage]:
    if not settings.STRIPE_WEBHOOK_SECRETS:
        yield Error(
            "There is no webhook secret, so anybody could sign events.",
            hint="Set STRIPE_WEBHOOK_SECRETS to the endpoint's signing secret (whsec_...).",
            id="latchkey.E001",
        )
    if not all(_is_webhook_secret(secret) for secret in settings.STRIPE_WEBHOOK_SECRETS):
        yield Error(
            "A webhook secret does not start with whsec_ or is empty behind it.",
            hint="Copy the signing secret of the endpoint, not an API key.",
            id="latchkey.E002",
        )
    known = KNOWN_WEBHOOK_SECRETS.intersection(settings.STRIPE_WEBHOOK_SECRETS)
    if known and not settings.STRIPE_USES_SANDBOX:
        yield Error(
            f"{', '.join(sorted(known))} is a webhook secret that everybody knows.",
            hint="Set STRIPE_WEBHOOK_SECRETS to the endpoint's own signing secret alone.",
            id="latchkey.E014",
        )


def server_secrets() -> Iterator[CheckMessage]:
    for name, check_id in (("SECRET_KEY", "latchkey.E003"), ("KEY_PEPPER", "latchkey.E004")):
        if len(getattr(settings, name).encode()) < LEAST_SECRET_BYTES:
            yield Error(
                f"{name} is shorter than {LEAST_SECRET_BYTES} bytes.",
                hint=f"Set {name} to the output of `openssl rand -base64 48`.",
                id=check_id,
            )


def stripe_key() -> Iterator[CheckMessage]:
    if settings.STRIPE_LIVE_MODE and settings.DEBUG:
        yield Error(
            "A live Stripe key with DEBUG on would show customers' data in error pages.",
            hint="Set DEBUG=false, or use a test key.",
            id="latchkey.E005",
        )
    is_stripe = _host(settings.STRIPE_API_BASE) == "api.stripe.com"
    if settings.STRIPE_LIVE_MODE and not is_stripe:
        yield Error(
            "A live Stripe key would be sent to an address that is not Stripe's.",
            hint="Remove STRIPE_API_BASE, or use a test key.",
            id="latchkey.E006",
        )
    if settings.STRIPE_USES_SANDBOX and not settings.DEBUG and not settings.ALLOW_SANDBOX:
        yield Error(
            "There is no Stripe key, so the sandbox would sell for play money.",
            hint="Set STRIPE_SECRET_KEY. Beside `make run`: set DEBUG=true, or use `make manage`. "
            "For a demo server: ALLOW_SANDBOX=true.",
            id="latchkey.E010",
        )


def addresses() -> Iterator[CheckMessage]:
    if not _is_private_enough(settings.STRIPE_API_BASE):
        yield Error(
            "STRIPE_API_BASE is neither https nor on this machine: the key would travel in clear.",
            hint="Use https://api.stripe.com, or the sandbox on 127.0.0.1.",
            id="latchkey.E007",
        )
    if "*" in settings.ALLOWED_HOSTS and not settings.DEBUG:
        yield Error(
            "ALLOWED_HOSTS is '*', so a forged Host header reaches the pages' links.",
            hint="Name the hosts that serve Latchkey.",
            id="latchkey.E008",
        )
    if not settings.DEBUG and not _is_private_enough(settings.PUBLIC_URL):
        yield Error(
            "PUBLIC_URL is not https: keys would be handed over in clear.",
            hint="Set PUBLIC_URL to the https address that buyers use.",
            id="latchkey.E009",
        )


def times() -> Iterator[CheckMessage]:
    if settings.STRIPE_WEBHOOK_TOLERANCE_SECONDS not in TOLERANCE_SECONDS:
        yield Error(
            "STRIPE_WEBHOOK_TOLERANCE_SECONDS is outside 1..300: old captures could be replayed.",
            hint="Leave it at 300 and keep the machine's clock right.",
            id="latchkey.E011",
        )
    if settings.TIME_ZONE != "UTC" or not settings.USE_TZ:
        yield Error(
            "TIME_ZONE is not UTC: periods and invoices would be cut at the wrong instant.",
            hint="Leave TIME_ZONE at UTC and USE_TZ on.",
            id="latchkey.E012",
        )


def staff_sessions() -> Iterator[CheckMessage]:
    if settings.STAFF_SECOND_FACTOR not in ("required", "optional"):
        yield Error(
            f"STAFF_SECOND_FACTOR is {settings.STAFF_SECOND_FACTOR!r}, which means nothing.",
            hint="Set it to required, or to optional where nobody's money is at stake.",
            id="latchkey.E020",
        )
    bounds = {
        "STEP_UP_MINUTES": range(1, 61),
        "STAFF_IDLE_MINUTES": range(1, 481),
        "STAFF_SESSION_HOURS": range(1, 25),
    }
    for name, allowed in bounds.items():
        if getattr(settings, name) not in allowed:
            yield Error(
                f"{name} is outside {allowed[0]}..{allowed[-1]}.",
                hint=f"Remove {name}: its default is sound.",
                id="latchkey.E021",
            )


def hooks() -> Iterator[CheckMessage]:
    if settings.HOOKS_ALLOW_PRIVATE_ADDRESSES and settings.STRIPE_LIVE_MODE:
        yield Error(
            "HOOKS_ALLOW_PRIVATE_ADDRESSES with a live Stripe key: whoever may add an endpoint "
            "could make this machine call into its own network.",
            hint="Remove it, or use a test key.",
            id="latchkey.E015",
        )


def token_secret() -> Iterator[CheckMessage]:
    secret = settings.JWT_SECRET
    if secret and (
        len(secret.encode()) < LEAST_SECRET_BYTES
        or len(set(secret)) < LEAST_KINDS
        or secret.lower().startswith(KNOWN_TOKEN_SECRETS)
    ):
        yield Error(
            "JWT_SECRET can be guessed: whoever does signs in as anybody.",
            hint="Set JWT_SECRET to the output of `openssl rand -base64 48`, or remove it.",
            id="latchkey.E016",
        )


RULES: tuple[Rule, ...] = (
    webhook_secrets,
    server_secrets,
    stripe_key,
    addresses,
    times,
    staff_sessions,
    hooks,
    token_secret,
)


def _stored_keys(alias: str) -> Iterator[CheckMessage]:
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("select count(*) from djstripe_apikey")
            count = cursor.fetchone()[0]
    except DatabaseError:
        return  # before the first migration there is no such table
    if count:
        yield Error(
            f"{count} Stripe keys are stored in clear in the table djstripe_apikey.",
            hint="Delete the rows; the key belongs in STRIPE_SECRET_KEY alone.",
            id="latchkey.E013",
        )


def _weak_issuers(alias: str) -> Iterator[CheckMessage]:
    from keystore.models import Algorithm, TokenIssuer  # settings are checked before apps load

    rows = TokenIssuer.objects.using(alias).filter(disabled_at=None, algorithm=Algorithm.HS256)
    try:
        sealed = list(rows.values_list("public_id", "sealed_secret"))
    except DatabaseError:
        return  # before the first migration there is no such table
    for public_id, secret in sealed:
        if not _is_strong(bytes(secret)):
            yield Error(
                f"The secret of the token issuer {public_id} is too short or cannot be unsealed.",
                hint="Put the SECRET_KEY that it was stored under into SECRET_KEY_FALLBACKS, or "
                f"run `manage.py issuers roll {public_id} --overlap-hours 0`.",
                id="latchkey.E017",
            )


def _is_strong(sealed: bytes) -> bool:
    from keystore.seal import Unsealable, unseal

    try:
        return len(unseal(sealed).encode()) >= LEAST_SECRET_BYTES
    except Unsealable:
        return False


def _is_webhook_secret(secret: str) -> bool:
    return secret.startswith("whsec_") and secret != "whsec_"


def _is_private_enough(address: str) -> bool:
    return urlsplit(address).scheme == "https" or _is_loopback(_host(address))


def _host(address: str) -> str:
    return urlsplit(address).hostname or ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
