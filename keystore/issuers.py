"""Every change to whose tokens a project accepts. One function is one transaction."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from config.errors import Conflict, InvalidInput, Unavailable
from keystore import audit
from keystore.hook_urls import UnusableAddress, check_url
from keystore.keysets import fetch_keys
from keystore.models import Algorithm, Consumer, Project, TokenIssuer
from keystore.seal import seal

LEAST_SECRET_BYTES = 32  # what HS256 itself is worth
LONGEST_SECRET = 1024
LONGEST_NAME = 255
USUAL_OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=7)


class IssuerKnown(Conflict):
    """A token must lead to one project alone."""

    code = "token_issuer_known"


class StillRolling(Conflict):
    """Signers may still know only the secret that a second roll would forget."""

    code = "token_secret_still_rolling"


@dataclass(frozen=True)
class MadeIssuer:
    """An issuer; the secret is shown this once, and only if it was made here."""

    issuer: TokenIssuer
    secret: str = ""
    usable_keys: int = 0


def make_issuer(
    *,
    project: Project,
    issuer: str,
    audience: str,
    algorithm: str = Algorithm.HS256,
    secret: str = "",
    jwks_url: str = "",
    roles_claim: str = "roles",
    admin_role: str = "admin",
    actor: str,
    reason: str = "",
    at: datetime,
) -> MadeIssuer:
    """Accept tokens with this `iss` and `aud` from now on.

    HS256: without a `secret` one is made. RS256 and ES256: the key set is read once before
    anything is stored. Raises InvalidInput, IssuerKnown.
    """
    for name, text in (("issuer", issuer), ("audience", audience)):
        if not 0 < len(text) <= LONGEST_NAME or not text.isprintable() or text != text.strip():
            raise InvalidInput(f"The {name} has 1 to {LONGEST_NAME} visible characters.")
    terms: dict[str, Any] = {"roles_claim": roles_claim, "admin_role": admin_role}
    made, keys = "", []
    if algorithm == Algorithm.HS256:
        if jwks_url:
            raise InvalidInput("HS256 has a secret and no key set: leave the address out.")
        made = "" if secret else new_secret()
        terms["sealed_secret"] = seal(checked_secret(secret or made))
    else:
        keys = _first_keys(jwks_url, secret, Algorithm(algorithm))
        terms |= {"jwks_url": jwks_url, "jwks": {"keys": keys}, "jwks_read_at": at}
    row = _store(project, issuer, audience, algorithm, terms, actor, reason, at)
    return MadeIssuer(row, made, len(keys))


def new_secret() -> str:
    return secrets.token_urlsafe(48)


def checked_secret(secret: str) -> str:
    """The secret, if tokens may be signed with it. Raises InvalidInput."""
    if not LEAST_SECRET_BYTES <= len(secret.encode()) <= LONGEST_SECRET or "\x00" in secret:
        raise InvalidInput(
            f"A secret of HS256 has at least {LEAST_SECRET_BYTES} bytes: take the output of "
            "`openssl rand -base64 48`, or leave it empty and one is made."
        )
    if len(set(secret)) < 8:  # "aaaa...": long, and guessed at once
        raise InvalidInput("This secret repeats itself: leave it empty and one is made.")
    return secret


@transaction.atomic
def roll_secret(
    *,
    issuer: TokenIssuer,
    secret: str = "",
    overlap: timedelta = USUAL_OVERLAP,
    actor: str,
    reason: str = "",
    at: datetime,
) -> MadeIssuer:
    """A new secret; for `overlap` the old one is good too. Without `secret` one is made.

    Raises StillRolling while an earlier roll has not ended, unless there is no overlap: then
    every older secret ends at once, which is what a leaked one needs.
    """
    current = _locked(issuer)
    if current.algorithm != Algorithm.HS256:
        raise InvalidInput("This issuer has no secret: its keys are rolled where they are made.")
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidInput(f"The old secret is good for 0 to {LONGEST_OVERLAP.days} days more.")
    if overlap and current.previous_until is not None and current.previous_until > at:
        raise StillRolling(
            f"The secret before is good until {current.previous_until:%Y-%m-%d %H:%M} UTC: wait, "
            "or roll without an overlap, which ends both."
        )
    made = "" if secret else new_secret()
    _set(
        issuer,
        sealed_secret=seal(checked_secret(secret or made)),
        sealed_previous_secret=bytes(current.sealed_secret) if overlap else b"",
        previous_until=at + overlap if overlap else None,
    )
    _record("issuer.roll_secret", issuer, actor, reason, {"previous_until": issuer.previous_until})
    return MadeIssuer(issuer, made)


@transaction.atomic
def switch_off(*, issuer: TokenIssuer, actor: str, reason: str, at: datetime) -> bool:
    """Accept none of its tokens, not even those that it has given out."""
    if _locked(issuer).disabled_at is not None:
        return False
    _set(issuer, disabled_at=at)
    _record("issuer.switch_off", issuer, actor, reason)
    return True


@transaction.atomic
def switch_on(*, issuer: TokenIssuer, actor: str, reason: str) -> bool:
    if _locked(issuer).disabled_at is None:
        return False
    _set(issuer, disabled_at=None)
    _record("issuer.switch_on", issuer, actor, reason)
    return True


@transaction.atomic
def sign_everybody_out(*, issuer: TokenIssuer, actor: str, reason: str, at: datetime) -> None:
    """Refuse every token that it gave out before now."""
    _locked(issuer)
    _set(issuer, tokens_since=at)
    _record("issuer.sign_everybody_out", issuer, actor, reason)


@transaction.atomic
def sign_out(*, consumer: Consumer, actor: str, reason: str, at: datetime) -> None:
    """Refuse every token of this person that was given out before now."""
    Consumer.objects.filter(pk=consumer.pk).update(tokens_since=at)
    consumer.tokens_since = at
    audit.record(
        actor=actor, act="consumer.sign_out", target=consumer, consumer=consumer, reason=reason
    )


def _first_keys(jwks_url: str, secret: str, algorithm: Algorithm) -> list[dict[str, str]]:
    if secret:
        raise InvalidInput(f"{algorithm} has a key set and no secret: leave the secret empty.")
    try:
        check_url(jwks_url)
    except UnusableAddress as refusal:
        why = refusal.message.partition(". ")[2]
        raise InvalidInput(f"Keys cannot be read from this address. {why}") from refusal
    try:
        keys = fetch_keys(url=jwks_url, algorithm=algorithm)
    except Unavailable as problem:
        raise InvalidInput(f"{problem.message} Nothing was stored.") from problem
    if not keys:
        raise InvalidInput(
            f"There is no usable {algorithm} key at {jwks_url}: choose the family that the "
            "sign-in service signs with. Nothing was stored."
        )
    return keys


def _store(
    project: Project,
    issuer: str,
    audience: str,
    algorithm: str,
    terms: dict[str, Any],
    actor: str,
    reason: str,
    at: datetime,
) -> TokenIssuer:
    try:
        with transaction.atomic():
            row = TokenIssuer.objects.create(
                project=project,
                issuer=issuer,
                audience=audience,
                algorithm=algorithm,
                created_at=at,
                **terms,
            )
            told = {"issuer": issuer, "audience": audience, "algorithm": algorithm}
            _record("issuer.make", row, actor, reason, told)
    except IntegrityError as twice:
        raise IssuerKnown(
            "Tokens of this issuer for this audience are accepted already: roll its secret, or "
            "choose another audience."
        ) from twice
    return row


def _locked(issuer: TokenIssuer) -> TokenIssuer:
    return TokenIssuer.objects.select_for_update(no_key=True).get(pk=issuer.pk)


def _set(issuer: TokenIssuer, **values: Any) -> None:
    TokenIssuer.objects.filter(pk=issuer.pk).update(**values)
    for name, value in values.items():
        setattr(issuer, name, value)


def _record(
    act: str, issuer: TokenIssuer, actor: str, reason: str, after: dict[str, Any] | None = None
) -> None:
    audit.record(actor=actor, act=act, target=issuer, reason=reason, after=after)
