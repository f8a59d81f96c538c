"""After a new SECRET_KEY: seal anew what was sealed under the one before, so that it can go."""

from dataclasses import dataclass

from cryptography.fernet import InvalidToken
from django.db import models, transaction

from keystore.models import Authenticator, HookEndpoint, KeyClaim, StoredAnswer, TokenIssuer
from keystore.seal import is_fresh, seal, unseal

SEALED: tuple[tuple[type[models.Model], str], ...] = (
    (HookEndpoint, "sealed_secret"),
    (HookEndpoint, "sealed_previous_secret"),
    (TokenIssuer, "sealed_secret"),
    (TokenIssuer, "sealed_previous_secret"),
    (Authenticator, "sealed"),
    (KeyClaim, "sealed"),
    (StoredAnswer, "body"),  # of idempotent requests; text, for its column is JSON
)


@dataclass(frozen=True)
class Resealed:
    """`unreadable` were sealed under a key that is not known any more: these must be made anew."""

    renewed: int
    unreadable: tuple[str, ...]


@transaction.atomic
def reseal_secrets() -> Resealed:
    """Seal under the present key whatever is not; a second time changes nothing."""
    renewed, unreadable = 0, []
    for model, field in SEALED:
        for pk, sealed in model._default_manager.values_list("pk", field).iterator():
            try:
                anew = _sealed_anew(sealed)
            except InvalidToken:
                unreadable.append(f"{model._meta.verbose_name} {pk}")
                continue
            if anew is not None:
                unchanged = model._default_manager.filter(pk=pk, **{field: sealed})
                renewed += unchanged.update(**{field: anew})
    return Resealed(renewed, tuple(unreadable))


def _sealed_anew(sealed: bytes | memoryview | str | None) -> bytes | str | None:
    """None: there is nothing to do."""
    if not sealed:
        return None
    raw = sealed.encode() if isinstance(sealed, str) else sealed
    if is_fresh(raw):
        return None
    anew = seal(unseal(raw))
    return anew.decode() if isinstance(sealed, str) else anew
